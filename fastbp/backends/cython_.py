from . import BackendUnavailable

raise BackendUnavailable("not built yet")
