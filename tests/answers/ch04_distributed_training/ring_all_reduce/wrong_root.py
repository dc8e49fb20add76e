# Wrong: everything goes to rank 0 and back
# Fails: sends_to_the_next_rank_only, sends_no_more_than_it_must
def ring_all_reduce(tensor):
    rank, n = dist.get_rank(), dist.get_world_size()
    total = tensor.clone(memory_format=torch.contiguous_format)
    if rank:
        dist.send(total, 0)
        dist.recv(total, 0)
    else:
        received = torch.empty_like(total)
        for other in range(1, n):
            dist.recv(received, other)
            total += received
        for other in range(1, n):
            dist.send(total, other)
    return total
