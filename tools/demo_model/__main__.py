"""Make the demo project again, in place or elsewhere.

``world`` writes the suite and the data (a second); ``tokenizer`` trains the tokenizer (seconds); ``base`` trains the
base model (half an hour on two CPU cores); ``all`` does the three in turn. To share the training among two processes,
start both with ``MLX_RANK`` and ``MLX_HOSTFILE`` set as MLX's ring backend wants them.
"""

import argparse
from pathlib import Path

from tools.demo_model import tokenizer, world
from topcoat.demo import TEMPLATE


def main() -> None:
    """Run the steps that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m tools.demo_model", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("world", "tokenizer", "base", "all"), default="all")
    parser.add_argument("--project", type=Path, default=TEMPLATE, help="the project folder to write into")
    parser.add_argument("--work", type=Path, default=Path("demo-base"), help="where the training keeps its weights")
    chosen = parser.parse_args()
    model = chosen.project / "models" / "phase33b"
    if chosen.what in ("world", "all"):
        world.write_world(chosen.project)
    if chosen.what in ("tokenizer", "all"):
        tokenizer.save(tokenizer.train(world.tokenizer_texts()), model)
    if chosen.what in ("base", "all"):
        from tools.demo_model import pretrain  # loads MLX

        pretrain.make_base(model, chosen.work)


main()
