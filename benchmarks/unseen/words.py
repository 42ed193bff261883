"""Words of names that stand in no file of the demo project and in no training of its models."""

import tomllib

from tools.demo_model.language.words import SUITE, TRAINING, Words, words
from topcoat.demo import TEMPLATE

UNSEEN = Words(
    nouns=words(
        """
        cabbage kale spinach broccoli parsnip artichoke zucchini asparagus leek lentil cauliflower celery fennel
        oregano basil rosemary thyme cardamom turmeric vanilla almond cashew pistachio hazelnut coconut pineapple
        blueberry raspberry cranberry tangerine nectarine watermelon pomegranate seagull swallow flamenco woodpecker
        kingfisher nightingale cormorant heron buzzard vulture magpie canary donkey mule antelope buffalo caribou
        cheetah leopard panther hyena mongoose weasel ferret beaver chipmunk squirrel porcupine octopus jellyfish
        starfish seahorse anchovy herring mackerel trout salmon sturgeon halibut velour denim corduroy flannel
        taffeta muslin tweed satin linen pitchfork wheelbarrow trowel hatchet chainsaw screwdriver crowbar pliers
        tweezers saxophone ukulele bassoon tambourine xylophone bagpipe harmonica waterfall peninsula archipelago
        savanna prairie ravine gorge plateau volleyball badminton snowboard trampoline
        """
    ),
    verbs=words(
        """
        bake devour grill marinate sizzle sharpen whittle sweep scrape wobble tumble stumble gallop trot glide
        scribble doodle whistle hum chant mutter whisper giggle sneeze yawn
        """
    ),
    adjectives=words(
        """
        creamy crunchy juicy zesty bitter sour minty smoky feathery woolly silky slippery muddy dusky gloomy
        cheerful bashful stubborn graceful playful
        """
    ),
    folders=words(
        """
        src lib orchard stable harbour cellar barn attic veranda
        """
    ),
    invented=0.0,
)


def words_seen() -> set[str]:
    """The words of ``UNSEEN`` that the suite, its templates or the training have: none, or the figures mean nothing.

    A folder's name may be seen.
    """
    known: set[str] = set()
    for pool in (SUITE, TRAINING):
        known |= {*pool.nouns, *pool.verbs, *pool.adjectives, *pool.folders, *pool.others}
    lists = tomllib.loads((TEMPLATE / "suites" / "templates.toml").read_text(encoding="utf-8"))["names"]
    known |= {word for name in ("noun", "verb", "adjective") for word in lists[name]}
    return known & {*UNSEEN.nouns, *UNSEEN.verbs, *UNSEEN.adjectives}
