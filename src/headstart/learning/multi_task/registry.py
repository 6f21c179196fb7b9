"""All methods by their names. One more is one more file, and one more line here."""

from headstart.learning.multi_task.cagrad import CAGrad
from headstart.learning.multi_task.gradnorm import GradNorm
from headstart.learning.multi_task.layer_sharing import LayerSharing
from headstart.learning.multi_task.learner import TaskLearner
from headstart.learning.multi_task.mgda import MGDA
from headstart.learning.multi_task.pcgrad import PCGrad
from headstart.learning.multi_task.pooled import Pooled, PooledWithTask
from headstart.learning.multi_task.regularized import Regularized
from headstart.learning.multi_task.separate import Separate

METHODS: dict[str, type[TaskLearner]] = {
    "separate": Separate,
    "pooled": Pooled,
    "pooled_with_task": PooledWithTask,
    "layer_sharing": LayerSharing,
    "regularized": Regularized,
    "pcgrad": PCGrad,
    "mgda": MGDA,
    "cagrad": CAGrad,
    "gradnorm": GradNorm,
}
