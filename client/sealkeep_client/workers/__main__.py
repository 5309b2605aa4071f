"""The worker's side: read calls from standard input, write results to standard output, end with the input."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
from collections.abc import Iterator
from typing import Any, BinaryIO


def main() -> None:
    # Records make no cycles, and looking for some among hundreds of thousands costs a tenth of the work.
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
    calls, results = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    # What a library reads or prints must not be of the calls, or stand among the results.
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 0)
    os.dup2(nowhere, 1)
    with contextlib.suppress(BrokenPipeError, EOFError):  # the parent is gone
        _serve(calls, results)


def _serve(calls: BinaryIO, results: BinaryIO) -> None:
    items: Iterator[Any] = iter(())
    while True:
        # Both ends are one program on one machine; nothing from outside comes this way.
        kind, *call = pickle.load(calls)  # noqa: S301
        outcome: tuple[bool, Any]
        try:
            if kind == "next":
                outcome = True, next(items, None)
            else:
                function, arguments = call
                outcome = True, function(*arguments)
                if kind == "stream":
                    items, outcome = ((item,) for item in outcome[1]), (True, None)
        except MemoryError:
            return  # the parent may have more, once this process is gone
        except Exception as error:
            outcome = False, error
        pickle.dump(outcome, results, protocol=pickle.HIGHEST_PROTOCOL)
        results.flush()


if __name__ == "__main__":
    main()
