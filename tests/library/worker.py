"""A process that adds to and removes from a library until it is killed; it prints each transaction that is done."""

import sys
from pathlib import Path

import numpy as np
from synthetic import clustered, sound

from clapgen.library.records import Changes, Embeddings
from clapgen.library.store import open_store

BATCH = 20
DIM = 16


def main(location: str, first: int) -> None:
    store = open_store(location, create=True)
    rng = np.random.default_rng(first)
    with store.writing():
        if "dim" not in store.facts():
            store.set_facts({"dim": str(DIM)})
        number = first
        while True:
            vectors = clustered(BATCH, DIM, rng).astype(np.float16)
            added = [(sound(number + i), Embeddings(v[None], np.zeros((0, 2)))) for i, v in enumerate(vectors)]
            ids = store.write(Changes(added=added))
            print("added", number, flush=True)
            if number // BATCH % 3 == 0:
                store.write(Changes(removed=ids))
                print("removed", number, flush=True)
            number += BATCH


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main(sys.argv[1], int(sys.argv[2]))
