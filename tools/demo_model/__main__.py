"""Make the demo project again, in place or elsewhere.

``world`` writes the suite and the data (a second); ``tokenizer`` trains the tokenizer (seconds); ``base`` trains the
base model with PyTorch (an hour and a half on one CPU core), in an environment that ``pretrain`` describes; ``weights``
quantizes what ``base`` left in ``--work``.
"""

import argparse
from pathlib import Path

from topcoat.demo import TEMPLATE

STEPS = ("world", "tokenizer", "base", "weights")


def main() -> None:
    """Run the step that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--project", type=Path, default=TEMPLATE, help="the project folder to write into")
    parser.add_argument("--work", type=Path, default=Path("demo-base"), help="where the training keeps its weights")
    chosen = parser.parse_args()
    model = chosen.project / "models" / "phase33b"
    if chosen.step == "world":
        from tools.demo_model import world

        world.write_world(chosen.project)
    elif chosen.step == "tokenizer":
        from tools.demo_model import curriculum, tokenizer

        tokenizer.save(tokenizer.train(curriculum.tokenizer_texts()), model)
    elif chosen.step == "base":
        from tools.demo_model import pretrain  # loads PyTorch

        pretrain.train(model / "tokenizer.json", chosen.work)
    else:
        from tools.demo_model import weights  # loads MLX

        weights.quantize(chosen.work / weights.FINAL, model)


main()
