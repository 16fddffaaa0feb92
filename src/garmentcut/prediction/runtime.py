"""Runs a network's ONNX file for `Cutter`: with OpenVINO on a CPU or ONNX Runtime on an NVIDIA GPU."""

import importlib.util
import os
import queue
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from garmentcut.config import RuntimeConfig
from garmentcut.errors import ModelError, RunError
from garmentcut.model.card import ModelCard, alpha_of_logits

_COMPILED_SHAPES = 2  # kept at a time, for portrait and landscape photos; each takes half a gigabyte
_MANY_PHOTOS = 4  # fewer are finished before a second stream has warmed up
_BRIDGE_LOCK = threading.Lock()
_START_S = 60.0  # loading and compiling take a second or two
_ROOM_BYTES = 400_000_000
_COMPILING = "garmentcut-compile"  # name of the threads that compile

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it would report every start to Google


class Predict(Protocol):
    """Anything that maps pixels to alpha: a `Runtime`, or a network in training."""

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Predict one photo's alpha, `(H, W)` float32 in [0, 1], with the card's edge applied.

        `rgb` is `(H, W, 3)` uint8 sRGB; sides are multiples of the card's `multiple_of`. For the refine stage, it is
        `(H, W, 4)`, the fourth channel being the segment stage's alpha, 255 for 1.
        """
        ...


class Runtime(Predict, Protocol):
    """A network ready to run."""

    name: str
    """Backend and device, for users to read."""
    streams: int
    """Number of photos that it works on at a time; as many threads may call it at once."""


def load_runtime(
    model: bytes, card: ModelCard, config: RuntimeConfig | None = None, *, any_shape: bool = False
) -> Runtime:
    """Load the content of an ONNX file with the backend of the configuration.

    With `any_shape` it is compiled once for pictures of any size, which suits small networks; else once for each size.

    Raises:
        ModelError: the backend is not installed, or cannot read the model.
        RunError: there is not enough memory for it, or it was not ready after a minute.
    """
    config = config or RuntimeConfig()
    backend = config.backend
    if backend == "auto":
        with suppress(Exception):  # what is wrong with the model, OpenVINO will say
            if _may_have_cuda() and (on_gpu := OnnxRuntime(model, card, config)).on_gpu:
                return on_gpu
        backend = "openvino"  # no GPU, or one that cannot be used
    load: Callable[[bytes, ModelCard, RuntimeConfig], Runtime] = OnnxRuntime
    if backend == "openvino":
        load = partial(OpenVinoRuntime, any_shape=any_shape)
    if importlib.util.find_spec(backend) is None:
        raise ModelError(f"{backend} is not installed; install garmentcut[gpu], or set runtime.backend to openvino")
    _check_room()
    try:
        with _memory_named():
            loaded: Runtime = _within_a_minute(lambda: load(model, card, config))
            return loaded
    except RunError:
        raise
    except MemoryError as error:
        raise RunError(f"{error}; allow this process more") from error
    except Exception as error:  # both backends raise plain or private subclasses of RuntimeError
        raise ModelError(f"{card.label} cannot be loaded by {backend}: {error}") from error


def runtime_for(config: RuntimeConfig, num_photos: int) -> RuntimeConfig:
    """The configuration with a number of `streams` that suits this many photos."""
    if config.streams:
        return config
    return replace(config, streams=2 if num_photos >= _MANY_PHOTOS and (os.cpu_count() or 1) >= 2 else 1)


class OpenVinoRuntime:
    """OpenVINO on the CPU, compiled for each shape that it meets, because a fixed shape starts four times as fast."""

    def __init__(self, model: bytes, card: ModelCard, config: RuntimeConfig, *, any_shape: bool = False) -> None:
        import openvino

        self._any_shape = any_shape
        self._core = openvino.Core()
        self.streams = config.streams or 1
        # If pinned, the threads of several processes would share the first cores and leave the others idle.
        self._settings: dict[str, Any] = {
            "NUM_STREAMS": self.streams,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        if config.threads:
            self._settings["INFERENCE_NUM_THREADS"] = config.threads
        network = self._core.read_model(model)
        _store_in_float32(network)
        self._model = _with_edge(network, card)
        self._requests: OrderedDict[tuple[int, ...], queue.SimpleQueue[Any]] = OrderedDict()
        self._lock = threading.Lock()
        # The first two threads in a process that touch a tensor can deadlock: one holds the interpreter lock, the other
        # the set-up of the binding's numpy bridge (pybind11 issue 4877). So the bridge is set up here.
        with _BRIDGE_LOCK:
            _ = openvino.Tensor(np.zeros(1, np.uint8)).data
        self.name = "openvino CPU"

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Predict`."""
        with _memory_named():
            requests = self._requests_for((-1, -1, rgb.shape[2]) if self._any_shape else rgb.shape)
            request = requests.get()
            try:
                request.infer({0: np.ascontiguousarray(rgb)[None]})
                alpha: NDArray[np.float32] = request.get_output_tensor(0).data[0, 0].copy()  # the tensor is reused
            finally:
                requests.put(request)
        return alpha

    def _requests_for(self, shape: tuple[int, ...]) -> "queue.SimpleQueue[Any]":
        with self._lock:
            if shape not in self._requests:
                if len(self._requests) >= _COMPILED_SHAPES:
                    self._requests.popitem(last=False)
                fixed = self._model.clone()
                fixed.reshape([1, *shape])
                compiled = _within_a_minute(lambda: self._core.compile_model(fixed, "CPU", self._settings))
                self._requests[shape] = queue.SimpleQueue()
                for _ in range(self.streams):
                    self._requests[shape].put(compiled.create_infer_request())
            self._requests.move_to_end(shape)
            return self._requests[shape]


@contextmanager
def _memory_named() -> Iterator[None]:
    """Turn OpenVINO's RuntimeError for a lack of memory into a MemoryError."""
    try:
        yield
    except RuntimeError as error:
        if "bad_alloc" in str(error):
            raise MemoryError("not enough memory for the network") from error
        raise


def hangs() -> bool:
    """True if a compilation that timed out is still running, so that the process cannot end in the usual way."""
    return any(thread.name == _COMPILING for thread in threading.enumerate())


def _check_room() -> None:
    """Raise RunError if the process may not have the address space of a network; libraries would abort or hang."""
    try:
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):  # Windows, macOS
        return
    if limit != resource.RLIM_INFINITY and limit - used < _ROOM_BYTES:
        raise RunError(
            f"not enough memory for the network: this process may have {limit / 1e6:.0f} MB of address space, of which "
            f"{used / 1e6:.0f} are taken, and the network needs {_ROOM_BYTES / 1e6:.0f} more; allow more (ulimit -v)"
        )


def _within_a_minute(start: Callable[[], Any]) -> Any:
    """Call a function with a time limit, because OpenVINO can hang for ever if address space is short.

    Raises:
        RunError: it did not return within `_START_S` seconds.
    """
    found = Future[Any]()

    def work() -> None:
        try:
            found.set_result(start())
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            found.set_exception(error)

    threading.Thread(target=work, name=_COMPILING, daemon=True).start()  # not a pool's: the process waits for those
    if not wait([found], _START_S).done:
        raise RunError(
            f"the network was not ready after {_START_S:g} seconds: OpenVINO may hang where a process may use little "
            "memory; allow more, or set runtime.streams=1 and runtime.threads=1"
        )
    return found.result()


def _store_in_float32(network: Any) -> None:
    """Convert weights that a file stores in 16 or 8 bits to float32 constants.

    OpenVINO does that itself when it compiles, but with 8-bit weights and two streams, its results were wrong in three
    of four processes (2026.4; whole garments missing). With weights that are float32 from the start, in none.
    """
    from openvino import opset13

    for node in network.get_ordered_ops():
        if node.get_type_name() not in ("Convolution", "GroupConvolution"):
            continue
        if node.input_value(1).get_node().get_type_name() in ("Convert", "Multiply"):
            weights = opset13.constant(_weights(node.input_value(1)))
            node.input(1).replace_source_output(weights.output(0))
    network.validate_nodes_and_infer_types()


def _weights(output: Any) -> NDArray[np.float32]:
    """Weights as float32, following the operations that decode their storage in 16 or 8 bits."""
    node = output.get_node()
    match kind := node.get_type_name():
        case "Constant":
            return np.asarray(node.get_data(), np.float32)
        case "Convert":
            return _weights(node.input_value(0))
        case "Reshape":
            return _weights(node.input_value(0)).reshape(node.output(0).get_shape())
        case "Multiply":
            return _weights(node.input_value(0)) * _weights(node.input_value(1))
    raise ValueError(f"weights made by {kind} cannot be read")


def _with_edge(network: Any, card: ModelCard) -> Any:
    """Add the card's edge to the graph, which then takes 8-bit pixels as they are and returns alpha."""
    from openvino import Layout, Type, opset13
    from openvino.preprocess import PrePostProcessor

    def alpha_of(logits: Any) -> Any:
        shifted = opset13.subtract(logits, np.float32(card.edge_bias))
        return opset13.sigmoid(opset13.multiply(shifted, np.float32(card.edge_gain))).output(0)

    steps = PrePostProcessor(network)
    steps.input(card.input_name).tensor().set_element_type(Type.u8).set_layout(Layout("NHWC"))
    steps.input(card.input_name).model().set_layout(Layout("NCHW"))
    steps.input(card.input_name).preprocess().convert_element_type(Type.f32).scale(1 / card.input_scale)
    steps.output(card.output_name).postprocess().custom(alpha_of)
    return steps.build()


class OnnxRuntime:
    """ONNX Runtime, on an NVIDIA GPU if its package and driver allow it, else on the CPU."""

    def __init__(self, model: bytes, card: ModelCard, config: RuntimeConfig) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = config.threads
        self.streams = config.streams or 1
        wanted = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
        self._session = onnxruntime.InferenceSession(model, options, providers=providers)
        self._card = card
        # A provider that is compiled in may not work: a session that could not use the GPU has fallen back to the CPU.
        provider = self._session.get_providers()[0]
        self.on_gpu = provider == wanted[0]
        self.name = f"onnxruntime {provider.removesuffix('ExecutionProvider')}"

    def __call__(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Predict`."""
        card = self._card
        tensor = rgb.transpose(2, 0, 1)[None].astype(np.float32) * np.float32(card.input_scale)
        logits = self._session.run([card.output_name], {card.input_name: tensor})[0][0, 0]
        return alpha_of_logits(logits, card.edge_bias, card.edge_gain)


def _may_have_cuda() -> bool:
    if importlib.util.find_spec("onnxruntime") is None:
        return False
    import onnxruntime

    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()
