"""The network compiled by TensorRT through torch_tensorrt, most of it in half precision, run as a CUDA graph.

Written against the documentation of torch_tensorrt 2.8 to 2.13; not executed yet where it was written.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import ClassVar

from miar_rt.checkpoint import Checkpoint
from miar_rt.engines import EngineUnavailable, one_line
from miar_rt.engines.cuda_graph import GraphPlan
from miar_rt.engines.fixed_shapes import FixedShapes, Shapes
from miar_rt.engines.gpu import find_gpu
from miar_rt.engines.plan_cache import notes
from miar_rt.engines.progress import working
from miar_rt.engines.tensorrt_plan import KeptPlans
from miar_rt.engines.torch_engine import load_network


class TensorRtEngine(FixedShapes):
    """float16 with float32 where ``half`` keeps it, or float32 without TF32.

    Raises
    ------
    EngineUnavailable
        When TensorRT cannot build the network.
    EngineFailed
        When the GPU gives out while it is made ready.
    """

    name = "tensorrt"
    sizes: ClassVar[tuple[int, ...]] = (1, 8, 64)

    def __init__(self, checkpoint: Checkpoint, precision: str = "float16") -> None:
        import tensorrt

        super().__init__(checkpoint.spec)
        self._checkpoint, self.precision = checkpoint, precision
        self._kept = KeptPlans(tensorrt, checkpoint, self.name, precision, self._build)
        self.warm_up()

    def _plan(self, inputs: Shapes, outputs: Shapes) -> GraphPlan:
        return self._kept.plan(inputs, outputs)

    def _build(self, inputs: Shapes, _outputs: Shapes) -> bytes:
        import torch

        from miar_rt.engines.half import Answers, in_half

        network = load_network(self._checkpoint, "cuda")
        answers = Answers(in_half(network) if self.precision == "float16" else network).eval()
        example = tuple(torch.zeros(shape, device="cuda") for shape in inputs.values())
        waiting = working(f"building the TensorRT engine for {len(example[-1])} windows, once for this GPU")
        with waiting, notes(self._kept.machine | {"engine": "timing"}) as timing:
            try:
                import torch_tensorrt

                program = torch.export.export(answers, example)
                return bytes(
                    torch_tensorrt.dynamo.convert_exported_program_to_serialized_trt_engine(
                        program,
                        arg_inputs=list(example),
                        use_explicit_typing=True,
                        disable_tf32=True,
                        timing_cache_path=str(timing),
                    )
                )
            # it raises whatever the part that does not know an operator raises, down to UnboundLocalError
            except Exception as error:
                raise EngineUnavailable(f"TensorRT cannot build it: {one_line(error)}") from error

    def describe(self) -> str:
        """The engine, its version and where it runs, in a few words."""
        gpu = find_gpu()
        place = gpu.name if gpu else "a GPU"
        return f"TensorRT {version('tensorrt')} on {place}, {self.precision}"
