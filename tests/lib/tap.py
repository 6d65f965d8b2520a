# SPDX-License-Identifier: GPL-2.0-or-later
"""A small TAP producer: test functions in, one line per test out.

    import tap

    @tap.test
    def merged_pages_are_equal(rig): ...

    if __name__ == "__main__":
        tap.main(context=make_rig)      # make_rig() is a context manager; its value is `rig`

A test fails by an exception (tap.check() and tap.equal() raise one with a readable text), skips
by tap.skip(reason). A test file given names as arguments runs only those; --list prints all.
Exit status: 0 all passed or skipped, 1 something failed, 2 usage. On SIGTERM (a test that runs too
long is ended by it) the context is left in good order.
"""

import contextlib
import inspect
import signal
import sys
import time
import traceback

_tests = []


class Skip(Exception):
    """Raised by skip(): the test cannot be run here, and that is no failure."""


class Failed(AssertionError):
    """Raised by check() and equal()."""


def test(function):
    """Registers a test; its name in the output is the function's, with spaces."""
    name = function.__name__.replace("_", " ")
    if any(name == known for known, _ in _tests):
        raise ValueError(f"two tests are called {name!r}")
    _tests.append((name, function))
    return function


def skip(reason):
    raise Skip(reason)


def check(condition, text):
    if not condition:
        raise Failed(text)


def equal(found, wanted, what):
    if found != wanted:
        raise Failed(f"{what}: found {found!r}, wanted {wanted!r}")


def within(found, low, high, what):
    if not low <= found <= high:
        raise Failed(f"{what}: found {found}, wanted {low} to {high}")


def diag(text):
    """Prints a diagnostic, one '#' line per line of text."""
    for line in str(text).splitlines() or [""]:
        print(f"# {line}", flush=True)


def _run(number, name, function, arguments):
    started = time.monotonic()
    try:
        function(*arguments)
        verdict, note = "ok", ""
    except Skip as reason:
        verdict, note = "ok", f" # SKIP {reason}"
    except Failed as failure:
        verdict, note = "not ok", ""
        diag(failure)
        frames = traceback.extract_tb(failure.__traceback__)
        frame = next((f for f in reversed(frames) if f.filename != __file__), frames[-1])
        diag(f"at {frame.filename.rpartition('/')[2]}:{frame.lineno}: {frame.line}")
    except Exception:  # a broken test is a failed test, and the others still run
        verdict, note = "not ok", ""
        diag(traceback.format_exc())
    print(f"{verdict} {number} - {name}{note}", flush=True)
    if not note:
        diag(f"took {int((time.monotonic() - started) * 1000)} ms")
    return verdict == "ok"


def _chosen(arguments):
    names = [name for name, _ in _tests]
    if "--list" in arguments:
        print("\n".join(names))
        sys.exit(0)
    unknown = [a for a in arguments if a.replace("_", " ") not in names]
    if unknown:
        print(f"no such test: {unknown[0]!r} (--list names them)", file=sys.stderr)
        sys.exit(2)
    wanted = [a.replace("_", " ") for a in arguments] or names
    return [(name, function) for name, function in _tests if name in wanted]


def main(context=None):
    """Runs the registered tests and exits. `context` is called once for all of them.

    If the context cannot be entered because it raises Skip, every test is skipped with its
    reason; any other exception fails the run.
    """
    chosen = _chosen(sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    print(f"TAP version 13\n1..{len(chosen)}", flush=True)
    with contextlib.ExitStack() as stack:
        try:
            value = stack.enter_context(context()) if context else None
        except Skip as reason:
            for number, (name, _) in enumerate(chosen, 1):
                print(f"ok {number} - {name} # SKIP {reason}")
            sys.exit(0)
        except Exception:
            diag(traceback.format_exc())
            print("Bail out! the tests' surroundings could not be set up", flush=True)
            sys.exit(1)
        passed = True
        for number, (name, function) in enumerate(chosen, 1):
            wants = bool(inspect.signature(function).parameters)
            passed &= _run(number, name, function, [value] if wants else [])
    sys.exit(0 if passed else 1)
