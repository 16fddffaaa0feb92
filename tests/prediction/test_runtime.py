import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

from garmentcut.config import RuntimeConfig
from garmentcut.errors import ModelError, RunError
from garmentcut.model.card import read_model, stage_network_of
from garmentcut.prediction import runtime
from garmentcut.prediction.cutter import model_path
from garmentcut.prediction.runtime import load_runtime, runtime_for
from garmentcut.synthetic import draw_studio_photo


@pytest.fixture(scope="module")
def default():
    return read_model(model_path())


@pytest.fixture(scope="module")
def red(red_model, tmp_path_factory):
    """A network of one layer, compiled in no time."""
    return read_model(red_model(tmp_path_factory.mktemp("red") / "red.onnx"))


def runtime_of(model, backend):
    return load_runtime(*model, RuntimeConfig(backend=backend, threads=2))


def test_openvino_and_onnx_runtime_agree(default):
    rgb = draw_studio_photo(3, size_hw=(576, 384)).rgb
    openvino, onnx = (runtime_of(default, backend)(rgb) for backend in ("openvino", "onnxruntime"))
    assert openvino.shape == onnx.shape == (576, 384)
    assert openvino.dtype == onnx.dtype == np.float32
    assert onnx.max() > 0.9  # there is a garment to disagree on
    assert np.abs(openvino - onnx).max() < 1e-3


def test_shapes_come_and_go(red):
    runtime = runtime_of(red, "openvino")
    photos = [draw_studio_photo(3, size_hw=size_hw).rgb for size_hw in ((192, 128), (128, 192), (160, 160))]
    first = [runtime(rgb) for rgb in photos]
    again = [runtime(rgb) for rgb in photos]
    for rgb, one, two in zip(photos, first, again, strict=True):
        assert one.shape == rgb.shape[:2]
        assert np.array_equal(one, two)


def test_two_shapes_stay_compiled_and_the_one_used_longest_ago_goes(red, monkeypatch):
    runtime, compiled = runtime_of(red, "openvino"), []
    compile_model = runtime._core.compile_model

    def watched(model, *settings):
        compiled.append(tuple(model.input().shape)[1:3])
        return compile_model(model, *settings)

    monkeypatch.setattr(runtime, "_core", SimpleNamespace(compile_model=watched))
    for side in (32, 64, 32, 96, 32, 64):
        runtime(np.zeros((side, side, 3), np.uint8))
    assert compiled == [(32, 32), (64, 64), (96, 96), (64, 64)]


def test_two_streams_see_what_one_sees(default):
    """With 8-bit weights that OpenVINO made float32 itself, locate missed whole garments in most processes."""
    content, card = default
    photos = [draw_studio_photo(seed, size_hw=(384, 256)).rgb for seed in range(4)]
    network, own = stage_network_of(content, card, "locate"), card.stage_card("locate")
    one, two = (load_runtime(network, own, RuntimeConfig("openvino", 2, streams)) for streams in (1, 2))
    expected = [one(photo) for photo in photos]
    assert max(alpha.max() for alpha in expected) > 0.9
    with ThreadPoolExecutor(2) as pool:
        for alpha, answer in zip(expected, pool.map(two, photos), strict=True):
            assert np.abs(alpha - answer).max() < 1e-3


def test_an_answer_is_not_overwritten_by_the_next(red):
    runtime, rgb = runtime_of(red, "openvino"), np.zeros((64, 64, 3), np.uint8)
    rgb[:32] = 255, 0, 0
    kept = runtime(rgb)
    copy = kept.copy()
    assert not np.array_equal(runtime(255 - rgb), copy)
    assert np.array_equal(kept, copy)


def test_two_streams_answer_two_threads_as_one_would(red):
    photos = list(np.random.default_rng(0).integers(0, 256, (8, 192, 128, 3), np.uint8))
    expected = list(map(runtime_of(red, "openvino"), photos))
    runtime = load_runtime(*red, RuntimeConfig(backend="openvino", streams=2))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(runtime, photos))
    for answer, alpha in zip(answers, expected, strict=True):
        assert np.abs(answer - alpha).max() < 1e-3


@pytest.mark.parametrize("streams", [1, 2])  # two cutters with one each, one cutter with two
def test_two_threads_may_be_the_first_to_call(streams, start_process, red_model, tmp_path):
    """Every second process hung here before the numpy bridge was set up by the constructor."""
    code = """
import threading, numpy as np
from garmentcut.config import RuntimeConfig
from garmentcut.model.card import read_model
from garmentcut.prediction.runtime import load_runtime
model = read_model(path)
both = [load_runtime(*model, RuntimeConfig(backend="openvino", streams=streams)) for _ in range(3 - streams)]
together = threading.Barrier(2)
def call(runtime):
    together.wait()
    runtime(np.zeros((96, 64, 3), np.uint8))
threads = [threading.Thread(target=call, args=(both[number % len(both)],)) for number in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""
    path = red_model(tmp_path / "red.onnx")
    for _ in range(4):  # and twice as often by both cases together: one of 256 such faults would go unseen
        process, _ = start_process(code, path=path, streams=streams)
        process.join(60)
        assert process.exitcode == 0


def test_a_folder_gets_two_streams_a_photo_one():
    assert runtime_for(RuntimeConfig(), 1).streams == 1
    assert runtime_for(RuntimeConfig(), 100).streams == min(os.cpu_count() or 1, 2)
    assert runtime_for(RuntimeConfig(streams=3), 1).streams == 3


def test_auto_takes_openvino_without_a_gpu(red):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has a GPU")
    assert load_runtime(*red).name == "openvino CPU"


@pytest.mark.gpu
def test_auto_takes_the_gpu_where_there_is_one(default):
    assert load_runtime(*default).name == "onnxruntime CUDA"


def test_auto_takes_openvino_if_the_gpu_cannot_be_used(red, monkeypatch):
    def fail(*_):
        raise RuntimeError("CUDA failure 2: out of memory")

    monkeypatch.setattr(runtime, "_may_have_cuda", lambda: True)
    monkeypatch.setattr(runtime, "OnnxRuntime", fail)
    content, card = red
    assert load_runtime(content, card).name == "openvino CPU"
    with pytest.raises(ModelError, match="cannot be loaded by openvino"):
        load_runtime(b"no network", card)


def test_a_backend_that_is_not_there_is_named(default, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"onnxruntime is not installed; install garmentcut\[gpu\]"):
        runtime_of(default, "onnxruntime")


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_broken_network_is_named(card, backend):
    with pytest.raises(ModelError, match=f"red@00000000 cannot be loaded by {backend}"):
        load_runtime(b"no network at all", card, RuntimeConfig(backend=backend))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux tells where threads may run")
@pytest.mark.parametrize("threads", [1, 2])
def test_its_threads_may_run_on_every_core(threads, start_process):
    """Threads that are pinned to the first cores share these with those of the next process that cuts.

    In a process of its own: other libraries, of other tests, pin theirs.
    """
    code = """
import os, threading, numpy as np
from garmentcut.config import RuntimeConfig
from garmentcut.model.card import read_model
from garmentcut.prediction.cutter import model_path
from garmentcut.prediction.runtime import load_runtime
everywhere, rgb = os.sched_getaffinity(0), np.zeros((192, 128, 3), np.uint8)
runtime = load_runtime(*read_model(model_path()), RuntimeConfig(backend="openvino", threads=threads))
runtime(rgb)  # while it compiles it looks at the cores one by one
work, pinned, looks = threading.Thread(target=lambda: [runtime(rgb) for _ in range(20)]), set(), 0
work.start()
while work.is_alive():
    looks += 1
    for task in os.listdir("/proc/self/task"):
        try:
            if (cores := os.sched_getaffinity(int(task))) != everywhere:
                pinned.add((task, tuple(cores)))
        except OSError:  # the thread has ended
            pass
told.send((looks > 0, sorted(pinned)))
"""
    _, heard = start_process(code, threads=threads)
    assert heard.poll(60)
    assert heard.recv() == (True, [])


def test_a_compile_that_hangs_is_given_up_and_named(monkeypatch):
    monkeypatch.setattr(runtime, "_START_S", 0.2)
    released = threading.Event()
    with pytest.raises(RunError, match="not ready after 0"):
        runtime._within_a_minute(released.wait)
    assert runtime.hangs()
    released.set()
    assert runtime._within_a_minute(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        runtime._within_a_minute(lambda: 1 / 0)


def test_a_lack_of_memory_is_reported_as_one():
    with pytest.raises(MemoryError), runtime._memory_named():
        raise RuntimeError("Exception from src/inference/src/cpp/core.cpp:117:\nstd::bad_alloc\n")
    with pytest.raises(RuntimeError, match="another"), runtime._memory_named():
        raise RuntimeError("another")


def test_too_little_address_space_is_told_before_anything_aborts(monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (600_000_000, resource.RLIM_INFINITY))
    with pytest.raises(RunError, match=r"may have 600 MB of address space, of which \d+ are taken"):
        runtime._check_room()
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    runtime._check_room()


def test_nobody_is_told_of_a_start(start_process):
    code = """
import garmentcut.prediction.runtime, openvino.tools.ovc.telemetry_utils as used
told.send(used.tm.__name__)
"""
    _, heard = start_process(code)
    assert heard.poll(120)
    assert heard.recv() == "openvino.tools.ovc.telemetry_stub"
