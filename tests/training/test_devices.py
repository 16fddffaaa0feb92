from types import SimpleNamespace

import pytest
import torch

from garmentcut.errors import TrainingError
from garmentcut.observe.monitor import StopRequest
from garmentcut.recipe import TrainingConfig
from garmentcut.training.devices import (
    Devices,
    agreed_reason,
    compiles,
    has_bfloat16,
    is_first_process,
    machine_in_words,
    open_fabric,
    reduced,
)

ON_GPU, ON_CPU = (SimpleNamespace(device=torch.device(kind)) for kind in ("cuda", "cpu"))


def test_one_cpu():
    fabric = open_fabric(Devices("cpu"), TrainingConfig())
    assert (fabric.device.type, fabric.world_size) == ("cpu", 1)
    assert fabric.strategy.precision.precision == "32-true"


def test_several_processes_join_by_ddp():
    assert type(open_fabric(Devices("cpu", 2), TrainingConfig()).strategy).__name__ == "DDPStrategy"


@pytest.mark.parametrize(
    ("devices", "config", "says"),
    [
        (Devices("cuda"), TrainingConfig(), "1 NVIDIA GPUs requested, 0 available"),
        (Devices("tpu"), TrainingConfig(), "--accelerator 'tpu' is none of auto, cpu and cuda"),
        (Devices("cpu"), TrainingConfig(precision="bfloat16"), "unusably slow on a processor without AMX"),
        (Devices("cpu"), TrainingConfig(compile="on"), "gains nothing on a CPU"),
        (
            Devices("cpu", 2, 2),
            TrainingConfig(batch=6),
            "training.batch = 6 cannot be shared by 4 devices; try [48]",
        ),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch, devices, config, says):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True}, raising=False)
    with pytest.raises(TrainingError, match=says):
        open_fabric(devices, config)


@pytest.mark.parametrize(
    ("compile", "steps", "expected"),
    [("auto", 1500, True), ("auto", 1499, False), ("on", 1, True), ("off", 9999, False)],
)
def test_compiled_on_cuda_only_and_where_it_pays(compile, steps, expected):
    config = TrainingConfig(compile=compile, steps=steps)
    assert compiles(ON_GPU, config) is expected
    assert compiles(ON_CPU, config) is False


def test_the_first_process_is_known_before_any_other_is_started(monkeypatch):
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.delenv("RANK", raising=False)
    assert is_first_process()
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not is_first_process()


def test_a_second_machine_is_not_the_first(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("NODE_RANK", "1")
    assert not is_first_process()


def test_the_machine_in_words(fabric):
    assert machine_in_words(fabric).split(" cores, ")[0].isdecimal()


def test_one_device_alone_has_nothing_to_reduce(fabric):
    own = torch.tensor([1.0, 2.0])
    assert reduced(fabric, own, "mean") is own


def test_the_devices_means_leave_their_own_as_it_was():
    def all_reduce(tensor, reduce_op):
        assert reduce_op == "mean"
        return tensor.mul_(2)  # in place, as PyTorch does it

    own = torch.tensor([1.0])
    assert reduced(SimpleNamespace(world_size=2, all_reduce=all_reduce), own, "mean") == 2
    assert own == 1


def test_all_devices_stop_together(fabric, monkeypatch):
    assert agreed_reason(StopRequest(0), fabric) == "time is up"
    # Another process was interrupted: the highest number of all is what they agree on.
    monkeypatch.setattr("garmentcut.training.devices.reduced", lambda _fabric, own, _operation: own.clamp(min=2))
    assert agreed_reason(StopRequest(), fabric) == "interrupted"


def test_a_torch_that_cannot_tell_trains_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert not has_bfloat16(Devices("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    assert has_bfloat16(Devices("cpu"))
