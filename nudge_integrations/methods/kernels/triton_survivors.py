"""What has reached the floor of its query so far."""

from __future__ import annotations

import torch

GROUP = 8
"""Columns that pass or fail together: of a product in registers, four lanes hold as many."""


class Survivors:
    """Groups of columns that reached the floor of their query, in buffers of bounded size.

    Attributes:
        groups: Shape `(q, capacity)`, int32.
        lowests: Shape `(q, capacity)`, float32: the best of the lowest scores in the group.
        highests: The best of the highest ones.
        counts: Shape `(q,)`, int32; above `capacity` where there was no room.
        floors: Shape `(q,)`, float32: k documents stay above this all the way.
    """

    def __init__(self, n_queries: int, capacity: int, device: torch.device) -> None:
        shape = n_queries, capacity
        self.groups = torch.empty(shape, dtype=torch.int32, device=device)
        self.lowests, self.highests = (torch.empty(shape, device=device) for _ in range(2))
        self.counts = torch.zeros(n_queries, dtype=torch.int32, device=device)
        self.floors = torch.full((n_queries,), torch.finfo(torch.float32).min, device=device)

    @property
    def capacity(self) -> int:
        """Places a query."""
        return self.groups.shape[1]

    def _stored(self) -> torch.Tensor:
        """Which places are taken, as wide as the fullest query needs."""
        width = min(int(self.counts.max()), self.capacity)
        places = torch.arange(width, device=self.counts.device)
        return places[None, :] < self.counts[:, None]

    def raise_floors(self, k: int) -> None:
        """To the k-th best of the lowest scores: each group stands for another document."""
        stored = self._stored()
        if stored.shape[1] >= k:
            lowests = self.lowests[:, : stored.shape[1]].masked_fill(~stored, -torch.inf)
            self.floors = torch.maximum(self.floors, lowests.topk(k, dim=1).values[:, -1])

    def drop(self, slack: float) -> None:
        """Forget what does not reach the floor any more, and close the gaps."""
        stored = self._stored()
        stored &= self.highests[:, : stored.shape[1]] >= (self.floors - slack)[:, None]
        query, place = torch.nonzero(stored, as_tuple=True)
        new = (torch.cumsum(stored, 1) - 1)[query, place]
        for part in (self.groups, self.lowests, self.highests):
            part[query, new] = part[query, place]
        self.counts = stored.sum(1, dtype=torch.int32)

    def grow(self, most: int) -> None:
        """Make room for all that was counted, but for `most` a query at most."""
        wanted = min(most, 1 << (int(self.counts.max()) - 1).bit_length())
        more = (0, max(0, wanted - self.capacity))
        self.groups, self.lowests, self.highests = (
            torch.nn.functional.pad(part, more)
            for part in (self.groups, self.lowests, self.highests)
        )

    @property
    def full(self) -> bool:
        """Whether there was no room for some."""
        return int(self.counts.max()) > self.capacity

    def pairs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Query and column of every column of every group, int64."""
        query, place = torch.nonzero(self._stored(), as_tuple=True)
        inside = torch.arange(GROUP, device=query.device)
        columns = self.groups[query, place].long()[:, None] * GROUP + inside
        return query.repeat_interleave(GROUP), columns.flatten()
