"""The methods of `Network` that keep it in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ..basis.annotations import StrPath


class Persistence:
    """The methods of `Network` that keep it in a file."""

    def save(self, path: StrPath) -> None:
        """Write this network to one safetensors file.

        A file that is there is replaced at once: whenever the program is killed, there is the old
        file or the new one. Links are followed, and permissions stay.

        Parameters
        ----------
        path : str or path-like
            Where to write.

        Raises
        ------
        ValueError
            If the loss is a function, which cannot be saved, or weights are not finite.

        See Also
        --------
        fastbp.save : The same for estimators and pipelines.
        """
        from ..files import file, network

        tensors: dict = {}
        document = network.to_document(self, tensors)
        file.write(path, {"kind": "network", "model": document}, tensors)

    @classmethod
    def load(cls, path: StrPath, *, backend: str | None = None) -> Self:
        """A network from a file that `save` wrote, or a checkpoint.

        Parameters
        ----------
        path : str or path-like
            The file. It may come from anywhere: nothing in it is executed, and no more memory is
            taken than docs/saving.md states.
        backend : {"auto", "cython", "numba", "numpy"} or None, default=None
            As for `Network`. The file does not say.

        Returns
        -------
        Network
            With the weights and the random state of the one that was saved. Of a checkpoint, the
            weights with which training would go on.

        Raises
        ------
        ValueError
            If the file is broken, from a newer fastbp, or has something else than a network.
        OSError
            If there is no such file, or it cannot be read.
        """
        from ..files import file, network

        document, tensors = file.read(path)
        return network.from_file(cls, document, tensors, backend)
