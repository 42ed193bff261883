from __future__ import annotations

import pytest

from topcoat.usage.extraction.reactions import asks_for_the_rest, leans_back, misunderstood, reaction

SAID = {
    "content": [
        *("Thanks!", "Perfect, thank you!", "ok great", "Actually, that works for me."),
        *("no problem, that's all I needed", "That works, I thought there were more."),
        *("Great, now lint it", "Perfect. Next: a.py", "Thanks! All tests pass."),
        *("Danke, perfekt.", "Super, danke!", "Merci beaucoup !", "¡Gracias, genial!"),
        *("Obrigado, perfeito", "Grazie!", "Dank je wel", "Спасибо, отлично!", "很好,谢谢!"),
        *("ありがとうございます", "고마워요!", "Tack!", "Dziękuję", "👍 thanks"),
    ],
    "corrected": [
        *("No, not that one.", "nope", "Wrong!", "That's wrong again. I want b.py", "I meant b.py"),
        *("not what I asked for", "Thanks, but I said lint b.py"),
        *("Great, a log. I asked what changed!", "Yes, but that's the wrong one"),
        *("21! Not 12.", "That's not what I wanted", "it is not right"),
        *("Instead, read b.py", "you should have read b.py", "Sorry, I meant b.py"),
        *("Actually, I meant b.py", "Nein, ich meinte b.py", "Falsch!"),
        *("Non, je voulais dire b.py", "No, me refería a b.py", "Não, eu quis dizer b.py"),
        *("No, intendevo b.py", "Nee, ik bedoelde b.py", "Нет, я имел в виду b.py", "不对,我是说 b.py"),
        *("いいえ、b.py のことです", "아니요, b.py 말고 a.py", "Nie, chodziło mi o b.py"),
        *("Hayır, b.py demek istedim", "Nej, jag menade b.py"),
    ],
    "changed": [
        *("No wait, show me its diff instead.", "On second thought, lint b.py"),
        *("Actually, never mind the linter, run b.py", "Never mind.", "Scratch that, read b.py"),
        *("I changed my mind, read b.py", "Hmm, hold on, read b.py first"),
    ],
    "unsure": [
        *("Thanks for nothing.", "Thanks anyway", "Great, a log."),
        *("Great, that's the customers. Orders, please!", "Thank you for trying."),
        *("Bravo, the bedroom. Kitchen!", "Nice try", "Good, but slow", "Actually b.py"),
        *("Danke, aber das reicht nicht", "Fine, whatever"),
    ],
    "": [
        *("", "  ", "ok", "Actually, typecheck it too", "No, thanks", "no problem"),
        *("use make clean", "Non-ASCII names in b.py?", "Note that b.py is new"),
        *("Nothing else changed?", "Yes, delete it", "and now b.py", "Where is 'wrong' printed?"),
        *("What's wrong with b.py?", "Noch eine Datei: b.py"),
        *(
            "That's not good. Lint b.py",
            "Show what I wanted to see yesterday",
        ),
    ],
}


@pytest.mark.parametrize(("meant", "words"), [(meant, words) for meant, all_ in SAID.items() for words in all_])
def test_the_first_words_of_a_turn_say_what_the_user_thinks_of_the_round_before(meant: str, words: str) -> None:
    assert reaction(words) == meant


@pytest.mark.parametrize(("words", "meant"), [("no, only a.py", "unsure"), ("no, I meant b.py", "corrected")])
def test_a_no_after_a_question_may_answer_it(words: str, meant: str) -> None:
    assert reaction(words) == "corrected"
    assert reaction(words, asked=True) == meant


def test_only_a_correction_that_says_so_calls_the_question_misunderstood() -> None:
    assert misunderstood("No, I meant the text")
    assert not misunderstood("no, b.py")


LEANING = ["the same for b.py", "lint it too", "And b.py?", "What about b.py?", "Are you sure?", "go on", "try again"]
STANDING = [
    "lint b.py",
    "and now please lint b.py for me",
    "show all of data/b.csv as well",
    "Go ahead and lint the file b.py",
    "Why does b.py fail in line 3?",
    "android builds",
    "sand.py?",
]


@pytest.mark.parametrize("words", LEANING)
def test_what_needs_the_turns_before_it_leans_back(words: str) -> None:
    assert leans_back(words)


@pytest.mark.parametrize("words", STANDING)
def test_what_has_a_verb_and_an_object_does_not(words: str) -> None:
    assert not leans_back(words)


def test_a_turn_that_says_a_part_of_the_question_again_asks_for_the_rest() -> None:
    assert asks_for_the_rest("And Pisa?", "Weather in Rome and Pisa?")
    assert not asks_for_the_rest("And Bari?", "Weather in Rome and Pisa?")
    assert not asks_for_the_rest("Now show Pisa on the map", "Weather in Rome and Pisa?")
