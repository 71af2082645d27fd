# SPDX-License-Identifier: Apache-2.0
"""Cards in forked and spawned processes, and at the end of the interpreter.

Every case is a program of its own: a fork copies threads' locks, of which pytest has some.
"""

import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest


#: What every program begins with: a file, its pixels, and a child that must end by itself.
START = """
import io, multiprocessing, os, pickle, signal, sys, threading, time
import numpy as np
from PIL import Image
import headrace as hr

def jpeg(n):
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (n * 53 % 256, n * 97 % 256, n * 31 % 256)).save(file, "JPEG")
    return file.getvalue()

def pixels(n):
    return np.array(Image.open(io.BytesIO(jpeg(n))).convert("RGB"))

def right(card, n):
    return np.array_equal(card.decode_jpeg(jpeg(n)), pixels(n))

def child(function):
    "Exit code of a fork that calls a function; its answer must be true."
    pid = os.fork()
    if pid == 0:
        signal.alarm(60)
        code = 1
        try:
            code = 0 if function() else 2
        except BaseException as error:
            print(type(error).__name__, error, file=sys.stderr, flush=True)
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""

SERVER = """
import pathlib, re, subprocess
from headrace.client import Client
server = subprocess.Popen([sys.executable, "-m", "headrace.cli", "serve", "--udp", "127.0.0.1:0"],
                          stdout=subprocess.PIPE, text=True)
port = int(re.search(r"control at [\\d.]+:(\\d+)", server.stdout.readline())[1])
"""

LOCAL = "cpu", "sim"


def run(program, *, start=START, timeout=120):
    """Output of a program, which must end well."""
    done = subprocess.run([sys.executable, "-c", start + textwrap.dedent(program)],
                          capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(autouse=True)
def forks():
    if not hasattr(__import__("os"), "fork"):
        pytest.skip("this system has no fork")


@pytest.mark.parametrize("name", LOCAL)
def test_fork(name, sim_built):
    """In a child a card, and what is made of it, work on a card of its own."""
    run(f"""
        card = hr.open("{name}")
        prep = card.image(resize=(16, 24))
        assert right(card, 1)
        want = prep(jpeg(2))

        def work():
            assert card.counters()["items"] == 0
            assert right(card, 3) and np.array_equal(prep(jpeg(2)), want)
            return card.counters()["items"] == 2 and child(lambda: right(card, 4)) == 0

        assert [child(work), child(work)] == [0, 0]
        assert right(card, 5) and card.counters()["items"] == 3
        card.close()
        assert child(lambda: card.closed) == 0
    """)


@pytest.mark.parametrize("what", ["decode_jpeg", "counters", "close", "pickle"])
def test_fork_while_a_thread_has_the_card(what, sim_built):
    """Its lock is nobody's in the child, which neither waits nor ends for it."""
    run(f"""
        card, stop = hr.open("sim"), threading.Event()

        def use():
            while not stop.is_set():
                got = card.decode_jpeg([jpeg(7)] * 8)
                assert all(np.array_equal(one, pixels(7)) for one in got)

        def work():
            if "{what}" == "decode_jpeg":
                return right(card, 8)
            if "{what}" == "pickle":
                return right(pickle.loads(pickle.dumps(card)), 8)
            card.{what}() if "{what}" != "pickle" else None
            return True

        thread = threading.Thread(target=use)
        thread.start()
        time.sleep(0.3)
        codes = [child(work) for _ in range(3)]
        copy = pickle.loads(pickle.dumps(card))
        assert right(copy, 9)
        stop.set()
        thread.join()
        assert codes == [0, 0, 0], codes
        assert right(card, 9)
    """)


def test_children_drop_no_simulation_twice(sim_built):
    """A child that ends as every Python program does destroys its copy of the simulation."""
    run("""
        card = hr.open("sim")
        assert right(card, 1)
        pid = os.fork()
        if pid == 0:
            signal.alarm(60)
            del card
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert right(card, 2)
    """)


def test_texts_after_a_fork(sim_built):
    pytest.importorskip("sklearn")
    run("""
        from sklearn.feature_extraction.text import HashingVectorizer
        card = hr.open("sim")
        vectorizer = card.hashing_vectorizer(n_features=1024)
        texts = ["a photo of two teddies", "two photos"]
        want = HashingVectorizer(n_features=1024).transform(texts)

        def work():
            return (vectorizer.transform(texts) != want).nnz == 0

        assert work()
        assert [child(work), child(work)] == [0, 0]
        assert work()
    """)


def test_pool_of_clients(nic_built):
    """A client that was used before workers fork: each has a connection of its own."""
    run("""
        try:
            card = Client("127.0.0.1", port, timeout=5, retries=3)
            assert right(card, 0)

            def work(n):
                return right(card, n)

            with multiprocessing.get_context("fork").Pool(4) as pool:
                assert pool.map(work, range(1, 41), chunksize=1) == [True] * 40
            assert right(card, 41)
            assert card.counters()["items"] == 2
            # A child has no descriptor of the parent's connection: the server sees its end.
            pid = os.fork()
            if pid == 0:
                signal.alarm(60)
                time.sleep(3)
                os._exit(0)
            card.close()
            begun = time.monotonic()
            while "closed" not in server.stdout.readline():
                pass
            assert time.monotonic() - begun < 2.5
            os.waitpid(pid, 0)
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
    """, start=START + SERVER)


def test_fork_while_a_thread_has_the_client(nic_built):
    run("""
        try:
            card, stop = Client("127.0.0.1", port, timeout=5, retries=3), threading.Event()

            def use():
                while not stop.is_set():
                    assert right(card, 7)

            thread = threading.Thread(target=use)
            thread.start()
            time.sleep(0.3)
            works = (lambda: right(card, 8), lambda: bool(card.counters()),
                     lambda: card.close() is None)
            codes = [child(work) for work in works for _ in range(2)]
            stop.set()
            thread.join()
            assert codes == [0] * 6, codes
            assert right(card, 9)
        finally:
            server.kill()
            server.wait()
            server.stdout.close()
    """, start=START + SERVER)


def test_spawn(sim_built, tmp_path):
    (tmp_path / "program.py").write_text(START + textwrap.dedent("""
        def work(prep, n):
            return prep(jpeg(n))

        if __name__ == "__main__":
            for name in ("sim", "cpu"):
                prep = hr.open(name).image(resize=(16, 24))
                with multiprocessing.get_context("spawn").Pool(2) as pool:
                    got = pool.starmap(work, [(prep, n) for n in range(4)])
                assert all(np.array_equal(got[n], prep(jpeg(n))) for n in range(4))
    """))
    done = subprocess.run([sys.executable, tmp_path / "program.py"], capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("daemon", [True, False])
def test_interpreter_ends_at_work(daemon, sim_built):
    """The simulation is left before the interpreter goes; nothing aborts."""
    done = run(f"""
        card = hr.open("sim")

        def use():
            for _ in range(1 if not {daemon} else 1000000):
                card.decode_jpeg([jpeg(7)] * 64)

        threading.Thread(target=use, daemon={daemon}).start()
        time.sleep(0.5)
    """)
    assert not any(word in done.stderr for word in ("Fatal", "terminate", "Abort")), done.stderr


def test_interrupt(sim_built):
    """Ctrl-C ends a batch; the next one is right."""
    process = subprocess.Popen(
        [sys.executable, "-c", START + textwrap.dedent("""
            card = hr.open("sim")
            data = io.BytesIO()
            Image.effect_noise((2048, 2048), 90).convert("RGB").save(data, "JPEG", quality=95)
            print("ready", flush=True)
            try:
                while True:
                    card.decode_jpeg([data.getvalue()] * 4)
            except KeyboardInterrupt:
                assert right(card, 3)
                print("right", flush=True)
        """)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, "right\n"), error


TESTS = f"import sys; sys.path.insert(0, {str(Path(__file__).resolve().parents[1])!r})"


@pytest.mark.parametrize("way", ["xrt", "udp"])
def test_hardware_after_a_fork(way, sim_built, tmp_path):
    """A card on hardware is its parent's: a clear error in the child, at once, and no harm done."""
    opening = {
        "xrt": f"""
            import fake_pyxrt
            import pytest
            fake_pyxrt.Machine(True).install(pytest.MonkeyPatch())
            from headrace import overlay
            import pathlib
            file = overlay.write(pathlib.Path({str(tmp_path)!r}), "alveo")[0]
            around, opened = contextlib.nullcontext(), lambda _: hr.open("xrt:0", xclbin=file)
        """,
        "udp": """
            from soft_board import SoftBoard
            around, opened = SoftBoard([hr.Recipe()]), lambda board: hr.open(board.name)
        """}[way]
    run(f"import contextlib\n{textwrap.dedent(opening)}" + textwrap.dedent("""
        with around as board, opened(board) as card:
            assert right(card, 1)
            lock = card._lock
            lock.acquire()  # as by a thread at work

            def fails(what):
                begun = time.monotonic()
                try:
                    what()
                except hr.CardError as error:
                    return "process that opened it" in str(error) and time.monotonic() - begun < 1
                return False

            codes = [child(lambda: fails(lambda: card.decode_jpeg(jpeg(2)))),
                     child(lambda: fails(card.counters)),
                     child(lambda: card.close() is None)]
            lock.release()
            assert codes == [0, 0, 0], codes
            assert right(card, 3)
        """), start=TESTS + START)


def test_threads_of_a_child(sim_built):
    """Two threads that want a lock first, which another one held at the fork."""
    run("""
        from headrace.processes import ProcessLock
        locks = [ProcessLock() for _ in range(200)]
        for lock in locks:
            lock.acquire()

        def work():
            inside = []

            def use():
                for lock in locks:
                    with lock:
                        inside.append(1)
                        assert len(inside) == 1
                        inside.pop()

            threads = [threading.Thread(target=use, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
            return not any(thread.is_alive() for thread in threads)

        assert child(work) == 0
    """)


def test_fork_while_a_thread_reads_a_tokenizer():
    """What is computed once has no lock that a child could wait for."""
    pytest.importorskip("tokenizers")
    run("""
        import vocabulary
        from headrace.token_recipe import TokenRecipe
        source = vocabulary.tokenizer(vocabulary.small()).to_str()
        stop = threading.Event()

        def use():
            while not stop.is_set():
                TokenRecipe(source).reference

        thread = threading.Thread(target=use)
        thread.start()
        codes = []
        for _ in range(20):
            codes.append(child(lambda: TokenRecipe(source).reference is not None))
            time.sleep(0.003)
        stop.set()
        thread.join()
        assert codes == [0] * 20, codes
    """, start=TESTS + START)


def test_hardware_is_not_let_go_in_a_child(sim_built, tmp_path):
    """Nothing of the parent's card is freed when the child closes or forgets its copy."""
    run(f"""
        import gc, weakref
        import fake_pyxrt, pathlib, pytest
        fake_pyxrt.Machine(True).install(pytest.MonkeyPatch())
        from headrace import overlay
        file = overlay.write(pathlib.Path({str(tmp_path)!r}), "alveo")[0]
        card = hr.open("xrt:0", xclbin=file)
        assert right(card, 1)
        memory = weakref.ref(card._bus.memory)

        def work():
            global card
            card.close()
            del card
            gc.collect()
            return memory() is not None

        assert child(work) == 0
        assert right(card, 2)
    """, start=TESTS + START)
