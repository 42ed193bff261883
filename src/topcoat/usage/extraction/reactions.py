"""How a user reacts to what was done, by the first words of the next turn.

Nobody tells it outright, so these rules say nothing where the words can be meant in two ways: "Great, a log." is praise
or its opposite, and what was done is then neither confirmed nor learned.

Words are known in English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Polish, Russian, Turkish,
Chinese, Japanese and Korean: the usual corrections and thanks, and no more. A turn in another language says nothing.
"""

from __future__ import annotations

import re
from typing import Literal

__all__ = ["Reaction", "asks_for_the_rest", "leans_back", "misunderstood", "only_replies", "reaction"]

Reaction = Literal["", "content", "corrected", "changed", "unsure"]
"""`content`: it was right. `corrected`: it was wrong, and the turn asks again. `changed`: it was right, and the user
wants something else. `unsure`: one can't tell. "": the turn says nothing about what was done."""

_LONGEST_LOOK = 400
"""The first characters of a turn, which are looked at."""

_NO = "no|nope|nah|nein|ne|nee|non|não|nej|nie|нет|hayır|いいえ|いや|아니(?:요|오|야)?|不是|不对|不,|不，|不要"
_FLATLY = (
    r"wrong\b|incorrect\b|instead\b|try\s+again\b|falsch\b|faux\b|incorrecto\b|errado\b|sbagliato\b|fout\b|fel\b|źle\b"
    r"|yanlış\b|неправильно"
)
"""Words that correct where a turn begins with them."""
_WRONG = (
    r"(?:that|this|it)(?:['’]s|\s+is|\s+was)\s+(?:(?:still|just|simply|also)\s+)?(?:the\s+)?(?:wrong|incorrect)\b"
    r"|(?:that|this|it)(?:['’]s|\s+is|\s+was)\s+(?:still\s+)?not\s+(?:what|right|correct|it|the|my|that|true|quite|how)\b"
    r"|not\s+(?:that|this|what|the)\b|(?:that|this|it)\s+(?:isn['’]t|wasn['’]t|doesn['’]t|didn['’]t)\b"
    r"|(?<!what )i\s+(?:meant|mean|said|asked|wanted|didn['’]t\s+(?:ask|mean|want|say))\b"
    r"|you\s+(?:should\s+have|misunderstood)\b"
    r"|nicht\s+(?:das|die|den|der|so)\b|das\s+(?:ist|war)\s+(?:falsch|nicht)\b|ich\s+(?:meinte|meine|wollte)\b"
    r"|pas\s+(?:ça|celui|celle|le|la)\b|c['’]est\s+(?:faux|pas)\b|ce\s+n['’]est\s+pas\b|je\s+(?:voulais|parlais)\b"
    r"|eso\s+no\b|no\s+es\s+(?:eso|lo)\b|quise\s+decir\b|quería\b|me\s+refer\w+"
    r"|isso\s+não\b|não\s+é\b|(?:eu\s+)?(?:quis\s+dizer|queria)\b"
    r"|non\s+(?:è|quello|questo)\b|intendevo\b|volevo\b"
    r"|niet\s+(?:dat|die|deze|wat)\b|ik\s+(?:bedoel(?:de)?|wilde)\b"
    r"|jag\s+(?:menade|ville)\b|chodziło\s+mi\b|demek\s+iste\w+"
    r"|не\s+то(?:т|й)?\b|я\s+(?:имел[аи]?\s+в\s+виду|хотел[аи]?|просил[аи]?)\b"
    r"|错了|我是说|我说的是|我的意思|不是这个|違(?:う|い|います)|ちがう|そうじゃな|じゃなくて|ではなく|のことです"
    r"|틀렸|그게\s*아니|그거\s*말고|말고"
)
"""Words that correct wherever they stand."""
_MEANT = re.compile(
    r"(?i)\bi\s+(?:meant|said|asked\s+for)\b|\bmisunderstood\b|\b(?:that|it|this)(?:['’]s|\s+is|\s+was)\s+(?:wrong|not)\b"
    r"|^\W*(?:wrong|not\s+(?:that|this|what))\b|\byou\s+should\s+have\b"
)
_CHANGED = re.compile(
    r"(?i)(?:(?:no|oh|hm+|ah|hmm)\W+)?(?:wait\b|hold\s+on\b|on\s+second\s+thoughts?\b|never\s*mind\b|scratch\s+that\b"
    r"|forget\s+(?:it|that|about)\b|i(?:['’]ve)?\s+changed\s+my\s+mind\b|actually\W+(?:never\s*mind|forget|scratch)\b"
    r"|doch\s+lieber\b|moment\W|attends\b|finalement\b|espera\b|aspetta\b|wacht\b|подожди|等等|等一下|待って|잠깐)"
)
_PRAISE = (
    r"thanks?(?:\s+(?:you|a\s+lot|so\s+much|very\s+much|again|a\s+bunch))*|thx|ty|cheers|much\s+appreciated|perfect(?:ly)?"
    r"|excellent|exactly|awesome|brilliant|wonderful|fantastic|lovely|nice|great|good|cool|fine|super|bravo|well\s+done"
    r"|(?:great|good|nice)\s+(?:job|work|one)|(?:that|it|this)(?:['’]?s|\s+is|\s+was)?\s+(?:works?|worked|perfect|great"
    r"|right|correct|good|fine|it|all(?:\s+i\s+(?:needed|wanted))?|what\s+i\s+(?:wanted|needed|meant))|works|done|looks\s+good|lgtm"
    r"|danke(?:\s+(?:dir|sehr|schön|vielmals))?|vielen\s+dank|perfekt|prima|toll|klasse|genau|sehr\s+gut|passt"
    r"|merci(?:\s+beaucoup)?|parfait|génial|très\s+bien|c['’]est\s+bon|gracias|muchas\s+gracias|perfecto|genial|muy\s+bien"
    r"|excelente|obrigad[oa]|muito\s+obrigad[oa]|valeu|perfeito|ótimo|muito\s+bom|grazie(?:\s+mille)?|perfetto|ottimo"
    r"|dank\s*(?:je|u)(?:\s*wel)?|bedankt|geweldig|tack(?:\s+så\s+mycket)?|perfekt|dzięki|dziękuję|świetnie"
    r"|teşekkür(?:ler)?(?:\s+ederim)?|harika|спасибо|большое\s+спасибо|отлично|супер|прекрасно|здорово"
    r"|(?:太|非常|多)?谢谢(?:你|您|了)?|谢了|感谢|很好|太好了|完美|ありがとう(?:ございます|ございました)?|完璧(?:です)?|助かりました"
    r"|고마워(?:요)?|고맙습니다|감사(?:합니다|해요)?|완벽(?:해요|합니다)?"
)
_STRONG = re.compile(
    r"(?i)\W*(?:thank|thx|perfect|excellent|exactly|awesome|danke|vielen|perfekt|merci|parfait|gracias|perfecto|obrigad|"
    r"perfeito|grazie|perfetto|bedankt|tack|спасибо|отлично|谢谢|ありがとう|고마워|감사)"
)
"""Praise that, as a sentence of its own, is hardly ever meant as its opposite."""
_WORKS = re.compile(
    r"(?i)\W*(?:actually\W+)?(?:that|it|this)(?:['’]?s|\s+is|\s+was)?\s+(?:works?|worked|right|correct)\b"
)
_MARKS = r"[!.,;:)(…。！，、~\s-]|[\U0001F300-\U0001FAFF\u2600-\u27BF\uFE0F]"
_BEFORE = (
    rf"yes|yeah|yep|yup|ok(?:ay)?|actually|oh|no\s+(?:problem|worries)|ja|oui|sí|si|sim|да|是的|好的|はい|네|{_MARKS}"
)
_AFTER = (
    rf"really|very|much|so|all|for\s+(?:me|now|that|the\s+help|your\s+help)|indeed|now|it|that|is|was"
    rf"|(?:what\s+)?i\s+(?:needed|wanted)|a\s+lot|{_BEFORE}"
)
_CONTENT = re.compile(
    rf"(?i)\W*+(?:(?:{_BEFORE})(?!['’])\s*+)*+(?:{_PRAISE})(?!\w)(?:\W*+(?:{_AFTER}|{_PRAISE})(?!\w))*+\W*+"
)
_OPENS = re.compile(rf"(?i)\W*(?:(?:yes|yeah|ok(?:ay)?|ja|oui|sí|sim|да|actually)\W+)?(?:{_PRAISE})(?!\w)")
_GOES_ON = re.compile(
    r"(?i)\W*(?:(?:and|then|so|but\s+now)\W+)?(?:now|next|then|please|can\s+you|could\s+you|would\s+you|will\s+you|let['’]s|also"
    r"|go\s+ahead|run|add|show|open|commit|push|make|fix|write|update|create|delete|remove|rename|check|test|lint|read"
    r"|find|search|use|put|give|tell|keep|send|set|list|move|copy|start|stop|build|deploy|format|explain|what\s+about"
    r"|jetzt|nun|bitte|als\s+nächstes|maintenant|ahora|agora|ora|adesso|nu|теперь|现在|接下来|次に|이제)\b"
)
_BUT = re.compile(r"(?i)\W*(?:for\s+nothing|anyway|but|though|however|except|aber|mais|pero|mas|però|maar|но|但)\b")
_ACTUALLY = re.compile(r"(?i)\W*actually\b")
_LEANS = re.compile(
    r"(?i)^\W*(?:what|how)\s+about\b"
    r"|\b(?:the\s+same|same\s+(?:for|with|thing)|likewise|ditto|as\s+before|the\s+other\s+one)\b"
)
_WHOLE = 5
"""From so many words on, a turn that begins with "and" or says "too" has a verb and an object of its own."""
_SHORT_LEANS = re.compile(
    r"(?i)^\W*(?:are\s+you\s+sure|really|why|go\s+(?:on|ahead)|continue|and|und|et|y|e|en|och|и)\b"
    r"|\b(?:too|also|as\s+well|again|this\s+time)\b"
)
_TOO = re.compile(r"(?i)\b(?:too|also|as\s+well)\b")


def reaction(words: str, *, asked: bool = False) -> Reaction:
    """What a user's turn says about the round before it. `asked`: that round ended with a question to the user."""
    said = words.strip()[:_LONGEST_LOOK]
    if not said:
        return ""
    if _CONTENT.fullmatch(said):
        return "content"
    if praised := _OPENS.match(said):
        return _after_praise(praised[0], said[praised.end() :])
    if _CHANGED.match(said) and not _wrong_in(said):
        return "changed"
    if refused := _REFUSED.match(said):
        rest = said[refused.end() :]
        return "unsure" if asked and not _wrong_in(said) else "corrected" if _means_it(rest) else ""
    if _WRONG_FIRST.match(said) or _NOT_THAT.match(said) or (_YES.match(said) and _wrong_in(said)):
        return "corrected"
    if _ACTUALLY.match(said):
        return "" if _TOO.search(said) else "corrected" if _wrong_in(said) else "unsure"
    return ""


_NAMED = re.compile(r"[\w./-]{4,}|\d+")
"""Words that are long enough to be about something."""
_NOT_THAT = re.compile(r"(?i)\W*[^\s!.,]+(?:\s[^\s!.,]+){0,3}[!.,]\s+not\s+\S+")
_REFUSED = re.compile(rf"(?i)\W*(?:{_NO})(?![\w-])|\W*(?:不是|不对|不,|不，|不要)")
_WRONG_FIRST = re.compile(rf"(?i)\W*(?:sorry\W+)?(?:{_FLATLY}|{_WRONG})")
_WRONG_IN = re.compile(rf"(?i)(?<!\w)(?:{_WRONG})")
_YES = re.compile(r"(?i)\W*(?:yes|yeah|ok(?:ay)?|ja|oui|sí|sim|да|hm+|but)\b")
_POLITE = re.compile(
    r"(?i)\W*(?:problem|worries|thanks?|thank\s+you|need|more|danke|merci|gracias|obrigad[oa]|grazie)\b"
)


def misunderstood(words: str) -> bool:
    """Whether a correction says that the question before it meant the same: it then stands for itself."""
    return bool(_MEANT.search(words[:_LONGEST_LOOK]))


def leans_back(words: str) -> bool:
    """Whether a turn can't be understood without the turns before it: "the same for b.py"."""
    said = words[:_LONGEST_LOOK]
    return bool(_LEANS.search(said)) or (len(said.split()) < _WHOLE and bool(_SHORT_LEANS.search(said)))


def only_replies(words: str, *, served: bool) -> bool:
    """Whether a turn after the agent's question says no more than its answer: "yes", or a name.

    `served`: the agent asked after it had done what it was asked for, so that a short turn may ask for something new.
    """
    said = words[:_LONGEST_LOOK]
    return bool(_YES.match(said)) or (not served and len(said.split()) < _WHOLE)


def asks_for_the_rest(words: str, query: str) -> bool:
    """Whether a turn says again what a part of the question before it said: "And Pisa?" after "Rome and Pisa?"."""
    if not leans_back(words):
        return False
    asked = set(_NAMED.findall(query.casefold()))
    return not asked.isdisjoint(_NAMED.findall(words[:_LONGEST_LOOK].casefold()))


def _after_praise(praise: str, rest: str) -> Reaction:
    """The reaction of a turn that begins with praise and goes on."""
    if _wrong_in(rest):
        return "corrected"
    if _BUT.match(rest):
        return "unsure"
    if _GOES_ON.match(rest):
        return "content"
    if _WORKS.match(praise):
        return "content"
    sentence_ends = rest.lstrip(" ")[:1] in tuple("!.。！\n")
    return "content" if sentence_ends and _STRONG.match(praise) else "unsure"


def _wrong_in(text: str) -> bool:
    return bool(_WRONG_IN.search(text))


def _means_it(rest: str) -> bool:
    """Whether what follows a "no" isn't just polite: "no problem", "no, thanks"."""
    return not _POLITE.match(rest)
