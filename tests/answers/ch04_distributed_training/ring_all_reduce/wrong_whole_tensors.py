# Wrong: whole tensors go around the ring
# Fails: sends_no_more_than_it_must, all_ranks_hold_the_same_bits
def ring_all_reduce(tensor):
    rank, n = dist.get_rank(), dist.get_world_size()
    total, moving = tensor.clone(), tensor.contiguous()
    for _ in range(n - 1):
        received = torch.empty_like(moving)
        request = dist.isend(moving, (rank + 1) % n)
        dist.recv(received, (rank - 1) % n)
        request.wait()
        total += received
        moving = received
    return total
