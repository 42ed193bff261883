"use strict";
// Everything works without this script, by links and forms. It adds keys.

function typing(element) {
  return element && (element.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(element.tagName));
}

// A key presses the button or the link that names it, unless somebody types.
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const target = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (target && !target.disabled) {
    event.preventDefault();
    target.focus();
    if (!typing(target)) target.click();
  }
});

// An editor's text is checked on the server while it is typed; Ctrl+Enter sends it.
for (const form of document.querySelectorAll("form[data-check]")) {
  const area = form.querySelector("textarea");
  const remarks = form.querySelector("#remarks");
  let waiting = 0;
  let asked = 0;
  const check = async () => {
    const number = ++asked;
    try {
      const answer = await fetch(form.dataset.check, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      const text = await answer.text();
      if (number !== asked) return; // a later text is being checked
      if (answer.ok) remarks.innerHTML = text;
      else remarks.textContent = "The check failed: load the page again.";
    } catch {
      if (number === asked) remarks.textContent = "The studio does not answer: was it ended?";
    }
  };
  area.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(check, 250);
  });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

// A page that waits for something loads again.
const reload = document.querySelector("[data-reload]");
if (reload) setTimeout(() => location.reload(), 1000 * Number(reload.dataset.reload));

// A part of a page that follows a command.
for (const part of document.querySelectorAll("[data-stream]")) {
  const source = new EventSource(part.dataset.stream);
  source.onmessage = (event) => {
    part.innerHTML = event.data;
  };
  source.addEventListener("end", () => source.close());
}
