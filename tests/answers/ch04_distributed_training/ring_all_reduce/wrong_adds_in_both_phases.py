# Wrong: the second phase adds, too
# Fails: three_ranks_add_up, any_number_of_ranks
def ring_all_reduce(tensor):
    rank, n = dist.get_rank(), dist.get_world_size()
    total = tensor.flatten().clone()
    chunks = list(total.tensor_split(n))
    for phase in range(2):
        for step in range(n - 1):
            out = chunks[(rank + phase - step) % n]
            into = chunks[(rank + phase - step - 1) % n]
            received = torch.empty_like(into)
            request = dist.isend(out, (rank + 1) % n)
            dist.recv(received, (rank - 1) % n)
            request.wait()
            into += received
    return total.reshape(tensor.shape)
