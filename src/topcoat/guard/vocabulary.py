"""The words that make up new names, and those that a name keeps because they say what kind of thing it names."""

from __future__ import annotations

from typing import Final

__all__ = ["BETWEEN", "KEPT_TOKENS", "NEW_WORDS", "USUAL_WORDS"]

_NOUNS = """
abalone acacia accordion acorn alcove almond alpaca anchovy anise anvil apricot apron arbor armada artichoke aspen
aster atoll attic avocet axle azalea badger bagel balsam bamboo banjo banner barley barnacle basil bassoon bayou
beagle beaker beetle begonia bellows bergamot birch biscuit bison blanket blossom bluff bobbin bonsai bramble brandy
breeze bronze broom bugle bumble burrow cabin cactus camel camphor canary candle canoe canopy caramel caravan cardamom
cashew cedar celery cello chalk chapel cherry chestnut chimney chisel cider cinder clarinet clover cobbler coconut
comet condor copper coral cornet cottage cotton cougar coyote crane crater cricket crimson crocus crumpet currant
cymbal cypress daffodil dahlia daisy damson dapple denim dingo dolphin dragonfly drizzle dumpling dune dusk easel
ebony eggplant elder elk ember emerald espresso estuary falcon fennel fern ferret fiddle fig finch firefly flamingo
flannel flint flute fossil foxglove freesia fresco frost gable garlic garnet gazelle gecko geyser ginger giraffe
glacier goblet gondola gopher gorge granite grape gravel grouse guava gull hamlet hammock hamster harbor harp harvest
hatchet hazel heather hedgehog heron hibiscus hickory hollow honey hornet husk hyacinth ibex iceberg igloo iguana
indigo inkwell island ivory jackal jade jaguar jasmine jigsaw juniper kayak kelp kennel kestrel kettle kiwi koala
lacquer ladle lagoon lantern larch lark lavender lemur lentil leopard lilac lily linden linen lizard llama lobster
locust lotus lupine lynx macaw magnolia magpie mahogany mallard mandolin mango mantle maple marble marigold marmot
marsh meadow melon mesa mimosa mitten molasses monsoon moose mosaic moss muffin mulberry mussel mustard myrtle nectar
nettle newt nougat nutmeg oak oasis oboe olive onyx opal orchard orchid oregano oriole osprey ostrich otter oyster
paddle pagoda pancake panther papaya papyrus parrot parsley peacock pebble pecan pelican peony pepper petunia pheasant
piccolo pigeon pillow pine pistachio plateau plover plum pollen pomelo poplar poppy porcupine prairie pretzel prism
puffin pumice pumpkin quail quarry quartz quiche quill quilt quince rabbit raccoon radish raisin raven ravine reef
rhubarb ribbon robin rosemary rowan rudder saddle saffron salmon sandal sapphire sardine satchel scallop scarlet
seagull sequoia sesame shallot sherbet sierra silo skylark sorbet sorrel sparrow spatula spinach spruce squid starling
sundial sunset swallow sycamore tadpole tamarind tangerine tapestry tapir teapot tempo thicket thimble thistle thrush
thyme timber toucan trellis trombone trout truffle tulip tundra turnip turquoise turtle umber vanilla velvet verbena
viola violet vulture waffle wagon walnut walrus warbler wasabi weasel wharf willow wisteria wolverine wombat
woodpecker yam yarrow yogurt yucca zebra zephyr zinnia zither
"""
_PLACES = """
app apps archive assets bin build cache cmd code common conf config core data dist docs doc env etc examples home
images include index init internal lib libs log logs main makefile media misc mod module modules node opt output
package packages pkg plugins private project projects public readme release resources root scripts setup share shared
spec specs src static sys temp template templates test testing tests tmp tools user users usr util utils var vendor
venv web www local desktop documents downloads pictures
"""
"""Folders, files and parts of paths that are conventions."""
_ENDINGS = """
py pyi ipynb js jsx mjs ts tsx vue css scss html htm xml svg json yaml yml toml ini cfg md rst txt csv tsv sql db sh
bash zsh ps bat cc cpp hpp cs rs go java kt scala swift rb php pl lua exs erl hs clj dart zig lock patch diff doc docx
xls xlsx ppt pptx pdf png jpg jpeg gif webp mp wav zip gz tar com org net edu gov http https ftp ssh localhost example
email mail gmail
"""
"""Endings and hosts."""
_PROGRAMS = """
and as assert async await bool break case cat cd chmod class cargo conda continue cp curl def del dict docker echo
elif else except false find finally float for from func function git grep head if import in int is isinstance kubectl
lambda len list ls make mkdir mv mypy none nonlocal not npm npx null object of on or pass pip print pwd pytest python
raise return rm ruff run select self set sort start status stop str string sudo tail tee this touch true try tuple
type uv wc while where with yield yarn get put add remove update delete create new old install uninstall show commit
push pull clone checkout merge branch fetch tag ps exec up down freeze lint format check restart enable apply describe
logs compose init tree
"""
"""Programs, and words of code."""
_BETWEEN = """
the but nor yet all any are been before after below above both can could did does doing done each every few had has
have having her here hers him his how into its just may might more most must myself off once only other our ours out
over own same shall she should some such than that their them then there these they those through too under until upon
very was were what when which who whom why will would you your yours about again against between during because
whether without within please
"""
"""Words between others."""
_KINDS = """
file files folder name names value values path paths id ids key keys number numbers date time day month year page line
column size count total max min first last next previous
"""
"""What things are, in names of any kind."""
_PRODUCTS = """
airbnb bibtex chatgpt coffeescript devops django doordash ebay fastapi flask github gitlab graphql huggingface
instagram ios ipad iphone ipod javascript jsonl latex linkedin macos mcdonald mongodb mysql numpy oauth openai paypal
postgresql pycharm pytorch scipy sqlite tensorflow typescript vscode webgpu websocket whatsapp youtube
"""

NEW_WORDS: Final = tuple(_NOUNS.split())
"""Nouns that no tool is about."""

USUAL_WORDS: Final = frozenset(f"{_PLACES} {_ENDINGS} {_PROGRAMS} {_BETWEEN} {_KINDS}".split())
"""Words of names that say what is named. They stay as they are."""

BETWEEN: Final = frozenset(f"a i in is it me my no of on or {_BETWEEN}".split())
"""Words that say nothing by themselves."""

KEPT_TOKENS: Final = frozenset(_PRODUCTS.split())
"""Names of products and techniques. Other words around them depend on which one it is."""
