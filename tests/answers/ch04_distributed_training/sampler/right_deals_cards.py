# Right: a cycle deals cards to all ranks until the last round is full
from itertools import cycle, islice


def rank_indices(n, rank, world_size, epoch=0, consumed=0, seed=0, pad=True):
    if not (0 <= rank < world_size and 0 <= consumed <= n):
        raise ValueError("out of range")
    order = torch.randperm(n, generator=torch.Generator().manual_seed(epoch + seed))
    cards = order.tolist()[consumed:]
    rounds = len(cards) // world_size + (len(cards) % world_size > 0)
    dealt = islice(cycle(cards), rounds * world_size) if pad else iter(cards)
    hands = [[] for _ in range(world_size)]
    for turn, card in enumerate(dealt):
        hands[turn % world_size].append(card)
    return hands[rank]
