"""A stand-in for Ray in this process: what selectit.inference.ray uses of it, without a process or a machine.

A call is carried out when its answer is waited for, one call at a time, in another folder than the caller's. What goes
to a worker and what comes back is pickled, as it is between machines.
"""

import pickle
from contextlib import chdir
from types import ModuleType


class RayTaskError(Exception):
    """What `get` raises where a call has raised something."""

    def __init__(self, cause):
        super().__init__(f"a call has failed\n{cause}")
        self.cause = cause


class RayActorError(Exception):
    """Its worker is dead."""


class OutOfMemoryError(Exception):
    """Its worker was killed for want of memory."""


class NodeDiedError(Exception):
    """Its machine is gone."""


class WorkerCrashedError(Exception):
    """Its worker crashed."""


LOST = (RayActorError, OutOfMemoryError, NodeDiedError, WorkerCrashedError)


class Cluster:
    """Machines of (CPUs, GPUs). Tests set what happens in it, and read what was asked of it."""

    def __init__(self, *machines, folder):
        self.machines = machines
        self.folder = folder
        """Where the workers are."""
        self.running = False
        self.begun = []
        """What each `init` was given."""
        self.sizes = []
        """(CPUs, GPUs) of each worker that was started."""
        self.actors = []
        """Every worker that was started."""
        self.calls = []
        """The names of the calls that were carried out, in order."""
        self.cancelled = 0
        self.newest_first = False
        """Which of several calls ends first."""
        self.carry_out = lambda call: call()
        """How a call is carried out; raising one of LOST loses its worker. It has a `name` and what was `given`."""

    def modules(self):
        """`ray` and `ray.exceptions`, by name."""
        ray, exceptions = ModuleType("ray"), ModuleType("ray.exceptions")
        for name in ("init", "is_initialized", "shutdown", "nodes", "remote", "wait", "get", "kill", "cancel"):
            setattr(ray, name, getattr(self, name))
        for error in (RayTaskError, *LOST):
            setattr(exceptions, error.__name__, error)
        return {"ray": ray, "ray.exceptions": exceptions}

    def living(self):
        """How many workers have not been killed: one that is lost, Ray may start again."""
        return sum(actor._alive for actor in self.actors)

    def init(self, **how):
        if how["address"] == "nowhere":
            raise ConnectionError("no cluster there")
        self.begun.append(how)
        self.running = True

    def is_initialized(self):
        return self.running

    def shutdown(self):
        self.running = False

    def nodes(self):
        gone = {"Alive": False, "Resources": {"CPU": 1000.0, "GPU": 1000.0}}
        return [gone, *({"Alive": True, "Resources": _resources(*machine)} for machine in self.machines)]

    def remote(self, *, num_cpus, num_gpus, **_):
        """What makes workers of a class, or calls of a function."""
        assert self.running, "Ray was not started"

        def start(kind, given):
            self.sizes.append((num_cpus, num_gpus))
            actor = _Actor(self, kind, given)
            self.actors.append(actor)
            assert self.living() * num_cpus <= sum(cpus for cpus, _ in self.machines), "it would wait for ever"
            return actor

        def call(function, given):
            self.sizes.append((num_cpus, num_gpus))
            return _Answer(_Call(function, given, self.folder))

        return lambda held: _Remote(lambda given: (start if isinstance(held, type) else call)(held, given))

    def wait(self, answers):
        """The answer of one call, which is carried out, and the others."""
        chosen = answers[-1 if self.newest_first else 0]
        self.calls.append(chosen.call.name)
        try:
            chosen.value = _sent(self.carry_out(chosen.call))
        except LOST as error:
            chosen.error = error
        except Exception as error:
            chosen.error = RayTaskError(_sent(error))
        return [chosen], [answer for answer in answers if answer is not chosen]

    def get(self, answer):
        if answer.error is not None:
            raise answer.error
        return answer.value

    def kill(self, actor):
        actor._alive = False

    def cancel(self, answer, *, force):
        assert force
        self.cancelled += 1


class _Remote:
    def __init__(self, begin):
        self._begin = begin

    def remote(self, *given):
        return self._begin(given)


class _Actor:
    def __init__(self, cluster, kind, given):
        self._alive, self._held, self._folder = True, kind(*_sent(given)), cluster.folder

    def __getattr__(self, name):
        return _Remote(lambda given: _Answer(_Call(getattr(self._held, name), given, self._folder)))


class _Call:
    def __init__(self, function, given, folder):
        self.name, self.given, self._function, self._folder = function.__name__, _sent(given), function, folder

    def __call__(self):
        with chdir(self._folder):
            return self._function(*self.given)


class _Answer:
    def __init__(self, call):
        self.call, self.value, self.error = call, None, None


def _sent(value):
    return pickle.loads(pickle.dumps(value))


def _resources(cpus, gpus):
    return {"CPU": float(cpus)} | ({"GPU": float(gpus)} if gpus else {})
