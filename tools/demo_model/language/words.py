"""Word pools from which names are built. No word of a training pool occurs in a suite pool."""

from dataclasses import dataclass
from pathlib import Path


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


@dataclass(frozen=True)
class Words:
    """The words that paths, symbols and texts of one side (training or suite) are made of."""

    nouns: tuple[str, ...]
    verbs: tuple[str, ...]
    adjectives: tuple[str, ...]
    folders: tuple[str, ...]
    invented: float
    """Share of nouns replaced by a made-up word: a model that must copy names has to meet words it does not know."""
    loose: float = 0.0
    """Share of paths whose first folder may be any noun, so that no folder can be known by heart."""
    others: tuple[str, ...] = ()
    """Thousands of other words, of any kind."""
    other: float = 0.0
    """Share of nouns, verbs and adjectives taken from ``others``."""
    again: float = 0.0
    """Share of nouns that are the noun drawn before: a name may have a word twice."""
    spliced: float = 0.0
    """Share of made-up words that are parts of two ``others``; the rest are syllables."""


ENGLISH = words(Path(__file__).with_name("english.txt").read_text(encoding="utf-8"))
"""8,000 English words that are frequent in the sources and manuals of Python packages, without those of other pools.

They are words of SCOWL (Kevin Atkinson, as packaged in Debian's wamerican), the most frequent first in the count.
"""


TRAINING = Words(
    nouns=words(
        """
        account action adapter address agent alarm album alert anchor animal answer archive area argument arrow
        article artist asset atlas author badge balance banner barrel basket batch beacon bill binder block board
        book border bottle box branch bridge broker browser bucket budget buffer builder bundle button cabin cable
        cache calendar camera campaign candle canvas card cargo carrier cart case catalog cell center chain channel
        chapter charge chart chat check choice circle city claim class client clock cloud cluster coach code coin
        collector color column comment company config contact content context contract cookie corner counter country
        coupon course cover crate credit cursor customer cycle dash data date deal decoder demand desk device dialog
        digest dinner doctor document domain door draft driver edge editor element email encoder engine entry
        envelope error event exam export factory farm feature feed field figure file film filter finger flag flight
        floor folder font form frame friend function game garden gate gauge gift glass grade graph grid group guest
        guide hall handle handler harbor header heart hero history holiday home hook hotel hour house icon image
        import index inbox insect invoice island item job journal journey key keyboard kitchen label lake lamp
        language layer leader leaf letter level library light limit line link list loader lock logger loop machine
        mail manager map market mask match matrix meal member memory menu message meter method metric mirror model
        module moment money monitor month motor mountain mouse movie music name nation network node note notice
        number object office offer option order owner package page paint panel paper parcel parent park parser part
        partner party passenger patch path patient payment pencil people phone photo piano picture piece pilot pipe
        pixel place plan planet plant plate player pocket poem point policy pool post power present price printer
        prize process product profile program project proof proxy purchase puzzle query question queue radio rain
        range rate reader reason receipt recipe record region register report request reserve resource response
        result review reward ring river road robot role roof room root route row rule sailor sale sample scene
        schema school score screen script season seat secret section seed segment sensor series server service
        session shape share sheet shelf ship shop side signal sink site size sketch slot socket song source space
        speaker stage stamp station step stock stone storage store story stream street student style subject summer
        supplier surface survey switch symbol system table tag target task teacher team template tenant term theme
        thread ticket tile timer title token tool topic tower town track trade train tree trial trigger trip truck
        unit user value vendor version video view village visit voice wallet watch wave weather wheel window winter
        wire word worker yard year zone
        """
    ),
    verbs=words(
        """
        accept add allow append apply assign attach bind book build buy cancel change check choose clean clear close
        collect compare compute connect copy count create decode delete deliver detect drop edit encode enter expand
        export fetch fill filter find finish fix flush format get give group handle hide import index insert invite
        join keep label list load lock log make map mark measure merge move name notify open order pack parse pay
        pick place plan post print process publish pull push put query rank read receive record reload remove render
        replace report request reset resolve restore return run save scan search select send set share show sign
        skip sort split start stop store submit sum sync tag take test track train trim turn update upload use
        verify visit wait warn watch wrap write
        """
    ),
    adjectives=words(
        """
        active basic big blank blue bold bright busy clean clear cold common cool dark deep direct double dry early
        easy empty extra fast final fine first flat free fresh full global good great green half happy hard heavy
        high hot human idle inner large last late lazy light local long loose low main major middle minor mixed
        modern native new next nice old open outer plain prime private proper public quick quiet rare raw ready real
        red rich right rough round safe second secure shared sharp short silent simple single slow small smart soft
        solid special steady strict strong sweet tall thin tiny total true upper warm weak white whole wide young
        """
    ),
    folders=words(
        """
        src lib app core api tools web common server client backend frontend plugins models views services domain
        infra jobs internal modules packages shared support scripts data billing users admin search auth
        """
    ),
    invented=0.5,
    loose=0.6,
    others=ENGLISH,
    other=0.5,
    spliced=0.6,
    again=0.07,
)

SUITE = Words(
    nouns=words(
        """
        abacus almanac apricot aquarium avocado bakery ballot bamboo bishop blossom cactus canyon carousel cathedral
        cinnamon cobalt comet copper coral cottage cradle cricket crystal dragon dolphin ember falcon feather fjord
        galaxy garnet glacier hammock harvest hazel helmet hurricane ivory jasmine juniper kayak kernel lagoon
        lantern ledger lemon lobster magnet mango maple marble meadow monsoon mosaic nectar nebula oasis orchard
        otter oyster paprika parrot pebble pepper pigeon plasma prism pumpkin quartz quiver raven ribbon rocket
        saffron satchel sparrow spruce sundial tango temple thistle timber tulip turbine turnip umbrella velvet
        violin volcano walnut waffle willow yonder zephyr zipper
        """
    ),
    verbs=words(
        """
        absorb adjust anneal blend brew bribe carve chase climb crush dilute dodge drain evict fasten forge gather
        grind hatch hoist ignite inspect juggle kindle knit launch lift melt mend nudge paddle peel plough polish
        quench rinse roast scatter sculpt shuffle soak spin sprinkle steer stitch swap tickle twist unfold wander
        weave whisk
        """
    ),
    adjectives=words(
        """
        amber ancient brisk calm crisp curious dusty eager elastic faint gentle golden grand hollow humble jolly
        keen lively lucky mellow noble pale polite rapid rustic salty scarlet shiny silver sleepy spicy stormy
        subtle tender tidy vivid wicked witty
        """
    ),
    folders=words("src lib bakehouse hangar observatory greenhouse pantry workshop foundry gallery"),
    invented=0.0,
)

_ONSETS = words("b c d f g h j k l m n p r s t v w z br cl dr fl gr pl qu sh st tr th")
_VOWELS = words("a e i o u ai ea io ou")
_CODAS = ("", "", "", "n", "r", "l", "s", "t", "m", "x", "ck", "nd", "rt", "st")
SYLLABLES = (_ONSETS, _VOWELS, _CODAS)
"""Onset, vowel and coda of an invented word's syllables."""
