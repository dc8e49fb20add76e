# Wrong: torch's own all_reduce
# Fails: three_ranks_add_up, any_number_of_ranks
def ring_all_reduce(tensor):
    total = tensor.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
