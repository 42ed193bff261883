"""The style sheet of a report. It is light or dark by the reader's setting, and legible from 320 px up.

Text has a contrast of at least 4.5 to 1 with its background in both schemes (WCAG 2.2, 1.4.3).
"""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #faf9f6; --card: #ffffff; --ink: #22252a; --soft: #5c6169; --line: #e3e0d9;
  --coat: #0d6e68; --coat-pale: #d5ebe8; --base: #9aa0a8; --good: #17703a; --good-pale: #e2f2e6;
  --bad: #a8321f; --bad-pale: #fbe7e2;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --card: #1e2125; --ink: #e4e5e7; --soft: #a3a9b1; --line: #33373d;
    --coat: #55bdb3; --coat-pale: #1d3b39; --base: #7d848d; --good: #74c78d; --good-pale: #1b3323;
    --bad: #f09a86; --bad-pale: #40231d;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif;
}
main { max-width: 58rem; margin: 0 auto; padding: 3rem 1.25rem 5rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0; font-weight: 650; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 3rem 0 0.75rem; font-weight: 650; }
h3 { font-size: 1rem; margin: 0; font-weight: 600; overflow-wrap: anywhere; }
h4 { font-size: 0.85rem; margin: 0 0 0.35rem; font-weight: 600; color: var(--soft); }
p { margin: 0.5rem 0; }
.soft, figcaption { color: var(--soft); }
.head { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; align-items: center; }
.badge { font-size: 0.85rem; font-weight: 700; letter-spacing: 0.06em; padding: 0.2rem 0.7rem; border-radius: 2rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.badge.good { background: var(--good-pale); } .badge.bad { background: var(--bad-pale); }
ul.reasons { list-style: none; margin: 1.25rem 0 0; padding: 0; }
ul.reasons li { padding: 0.2rem 0 0.2rem 1.6rem; position: relative; }
ul.reasons .mark { position: absolute; left: 0; font-weight: 700; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 0.925rem; }
figure.table figcaption { padding-bottom: 0.5rem; font-size: 0.875rem; }
th, td { text-align: right; padding: 0.5rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
td.words, th.words { text-align: left; }
td.words .good, td.words .bad { white-space: nowrap; }
tr.told th, tr.told td { border-bottom: 0; padding-bottom: 0; }
thead th { color: var(--soft); font-weight: 500; font-size: 0.825rem; vertical-align: bottom; }
tbody th { font-weight: 550; }
tr.headline th, tr.headline td { border-bottom: 2px solid var(--line); font-weight: 650; }
.note { display: block; font-size: 0.8rem; font-weight: 400; color: var(--soft); }
td.good .note, td.bad .note { color: var(--soft); }
.wide { width: 26%; min-width: 7rem; overflow-wrap: break-word; }
svg.bars { display: block; width: 100%; height: 13px; margin-top: 0.35rem; }
svg.bar { display: inline-block; width: 4.5rem; height: 7px; margin-left: 0.6rem; }
.fill-track { fill: var(--line); } .fill-base { fill: var(--base); } .fill-coat { fill: var(--coat); }
.fill-ink { fill: var(--ink); } .fill-bad { fill: var(--bad); }
figure { margin: 0; }
.chart { height: 15rem; margin: 0.5rem 0 2rem 2.9rem; }
.chart svg { display: block; width: 100%; height: 100%; overflow: visible; }
.chart path { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.grid { stroke: var(--line); stroke-width: 1; }
.train { stroke: var(--base); stroke-width: 1.5; } .valid { stroke: var(--coat); stroke-width: 2.5; }
.best { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3; }
.chart text { font-size: 0.78rem; fill: var(--soft); }
.chart .y { text-anchor: end; dominant-baseline: central; } .chart .x { text-anchor: middle; }
.chart .dot { fill: var(--coat); stroke: var(--paper); stroke-width: 2; }
.chart .dot.at-best { fill: var(--ink); }
.chart .flag { fill: var(--ink); font-weight: 600; } .chart .flag.left { text-anchor: end; }
.key { display: inline-block; width: 1.4rem; border-top: 3px solid; vertical-align: middle; margin-right: 0.4rem; }
.key.valid { border-color: var(--coat); } .key.train, .key.base { border-color: var(--base); }
.key.coat { border-color: var(--coat); border-top-width: 8px; } .key.base { border-top-width: 4px; }
.key.goal { width: 3px; height: 13px; border: 0; background: var(--ink); }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; font-size: 0.85rem; color: var(--soft); }
details { border-top: 1px solid var(--line); padding: 0.6rem 0; }
details:last-of-type { border-bottom: 1px solid var(--line); }
summary { cursor: pointer; font-weight: 600; padding: 0.2rem 0; }
summary:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--coat); outline-offset: 2px; }
summary .soft { font-weight: 400; }
details > figure { margin-top: 0.75rem; }
article {
  background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--base); border-radius: 6px;
  padding: 1rem 1.1rem; margin: 0.9rem 0;
}
article.better { border-left-color: var(--good); } article.worse { border-left-color: var(--bad); }
.case { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0.2rem 1rem; align-items: baseline; }
.case span { font-size: 0.875rem; font-variant-numeric: tabular-nums; }
.prompt { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.5rem 0 0.9rem; }
.sides { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1rem; }
.sides p { font-size: 0.85rem; margin: 0.4rem 0 0; color: var(--soft); overflow-wrap: anywhere; }
pre {
  margin: 0; padding: 0.6rem 0.75rem; background: var(--paper); border-radius: 4px; max-height: 22rem; overflow: auto;
  font: 0.8rem/1.5 ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace;
  white-space: pre-wrap; overflow-wrap: anywhere;
}
@media (max-width: 40rem) {
  main { padding: 1.75rem 1rem 3rem; }
  h1 { font-size: 1.6rem; }
  .sides { grid-template-columns: minmax(0, 1fr); }
  table { font-size: 0.8rem; }
  thead th, .note { font-size: 0.74rem; }
  th, td { padding: 0.45rem 0.25rem; }
  .wide { width: 28%; min-width: 4.5rem; }
  td.words .good, td.words .bad { white-space: normal; }
  td svg.bar { display: none; }
}
@media print { pre { max-height: none; } body { background: none; } }
"""
