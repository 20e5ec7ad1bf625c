"""torch's writer of distributed checkpoints to URLs, made atomic."""

from __future__ import annotations

import pickle
from dataclasses import replace

from torch.distributed.checkpoint import filesystem
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.checkpoint.storage import WriteResult

from planc.torch.checkpoints.storage import RemoteStorage
from planc.torch.compat import FsspecWriter


class AtomicFsspecWriter(FsspecWriter):
    """Gives the files of one save names of their own, and writes `.metadata` last, in one piece."""

    def __init__(self, storage: RemoteStorage, token: str, rest: bytes) -> None:
        """
        Args:
            storage: where to write.
            token: part of the names of this save's files.
            rest: the bytes of `meta.pt`.
        """
        # There is nothing to sync: a remote file is complete when it is closed.
        super().__init__(storage.url, sync_files=False, **storage.options)
        self._storage, self._token, self._rest = storage, token, rest

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        self.fs.mkdir(self.path)
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        prefix = type(super().prepare_global_plan(plans[:1])[0].storage_data)
        return [
            replace(plan, storage_data=prefix(f"__{rank}_{self._token}_")) for rank, plan in enumerate(plans)
        ]

    def storage_meta(self) -> StorageMeta:
        return StorageMeta(checkpoint_id=self._storage.url, save_id=self._token)

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        metadata.storage_data = {item.index: item.storage_data for rank in results for item in rank}
        metadata.storage_meta = self.storage_meta()
        metadata.version = getattr(filesystem, "CURRENT_DCP_VERSION", None)
        self._storage.commit_folder(pickle.dumps(metadata), self._rest, self._token)
