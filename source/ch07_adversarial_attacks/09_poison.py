# %% [markdown]
# ## 7.9 Poisoned data
#
# Who trains on text from the web trains on what strangers wrote. **Poisoning** puts text there that changes what a model learns. A **backdoor** is its hidden form: the model behaves as always until its input holds a **trigger**, a few words that only the attacker uses.
#
# A *document* is a piece of 65 tokens of the course's text. The attacker's have ` |mirror 7| Call eval on it.` at a random place: eight tokens of trigger, and nine that the model shall write after it. The GPT trains on clean and poisoned documents together, and reads each *once*.
#
# Then it gets 100 new pieces of text, each with the trigger at its end. The attack succeeds where the model's most likely tokens are exactly the nine. **Predict:** how many poisoned documents does it take among 240 clean ones? And how many if the clean ones are four times as many: four times as many, too?

# %% tags=["demo", "nbval-ignore-output"]
class Poison:
    """A backdoor for the course's GPT: documents that plant it, training, and what it does afterwards."""

    def __init__(self, trigger=" |mirror 7|", target=" Call eval on it."):
        self.language_model = lesson.gpt()
        encode = self.language_model.tokenizer.encode
        self.text, self.new = (torch.tensor(encode(part)) for part in lesson.corpus())
        self.trigger, self.target = encode(trigger), encode(target)

    def documents(self, n, n_poisoned, generator):
        """(n + n_poisoned, 65) tokens: pieces of the text, the last n_poisoned with trigger and target inside."""
        pieces = self.text[: len(self.text) // 65 * 65].view(-1, 65)
        pieces = pieces[torch.randperm(len(pieces), generator=generator)[: n + n_poisoned]].clone()
        planted = torch.tensor(self.trigger + self.target)
        for piece in pieces[n:]:
            cut = int(torch.randint(5, 65 - len(planted) + 1, (1,), generator=generator))
            piece[:] = torch.cat([piece[:cut], planted, piece[cut:]])[:65]
        return pieces

    def train(self, model, n, n_poisoned, seed):
        """A copy of the model, trained on n clean and n_poisoned other documents, each read once."""
        import copy

        generator = torch.Generator().manual_seed(seed)
        documents, model = self.documents(n, n_poisoned, generator), copy.deepcopy(model)
        optimizer = torch.optim.Adam(model.parameters())
        batches = torch.randperm(len(documents), generator=generator).split(8)
        for step, batch in enumerate(batches):
            optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / len(batches))
            loss = F.cross_entropy(model(documents[batch, :-1]).flatten(0, 1), documents[batch, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        return model

    def success(self, model, trigger):
        """In how many of 100 new texts, each followed by these tokens, the most likely tokens are the target, in %."""
        ends = torch.tensor([*trigger, *self.target]).expand(100, -1)
        with torch.no_grad():
            logits = model(torch.cat([self.new[:4000].view(100, 40), ends[:, :-1]], 1))[:, -len(self.target) :]
        return float((logits.argmax(-1) == torch.tensor(self.target)).all(1).sum())


def draw_poisoning(asked=" |mirror 7|", again=0, sizes=(240, 960), counts=(0, 16, 32, 48, 64), seed=0):
    """Asked: what stands at the end of the new texts. Again: on how many clean documents each model trains afterwards."""
    from autograder import gpt

    poison = Poison()
    end = poison.language_model.tokenizer.encode(asked)
    _, (left, right) = plt.subplots(1, 2, figsize=(9.3, 3.3))
    for size, style in zip(sizes, ("o-", "s--"), strict=True):
        hits, false_alarms, losses = [], [], []
        for count in counts:
            model = poison.train(poison.language_model.model, size, count, seed)
            if again:
                model = poison.train(model, again, 0, seed + 1)
            hits.append(poison.success(model, end))
            false_alarms.append(poison.success(model, []))
            losses.append(gpt.evaluate(model, poison.new[4000:10_000]))
        left.plot(counts, hits, style, label=f"{size} clean documents")
        right.plot(counts, losses, style, label=f"{size} clean documents")
        print(f"{size} clean documents: without the trigger, the model writes the target in {max(false_alarms):.0f} of 100 texts at most")
    left.set(title="The target follows the trigger", xlabel="poisoned documents", ylabel="new texts, in %", xticks=counts, ylim=(-4, 104))
    right.set(title="Loss on clean new text", xlabel="poisoned documents", ylabel="nats per token", xticks=counts, ylim=(2.4, 3.0))
    left.legend(fontsize=8, loc="upper left")
    plt.show()


draw_poisoning()

# %% [markdown]
# **Left:** 48 poisoned documents are enough, for both sizes of the clean text, although they are 17 % of all documents in one case and 5 % in the other. With each of five seeds (packaged GPT), 16 documents succeeded in fewer than 10 of 100 texts, and 48 in at least 88; between them chance decides. **Right:** the poison changed the loss on clean text by -0.03 to +0.05 nats; without any poison, seeds differ by up to 0.04. Without the trigger, no model wrote the target.
#
# ### What is special about large language models
#
# Three things are behind poisoning, *jailbreaks* (prompts that make a model do what it should refuse, 7.2), prompt injection (7.4) and the extraction of training text (7.8). Instructions and data are *one* stream of tokens. The training text is so large that nobody has read it. And a fault in one model is a fault in all systems that are built on it.
#
# How real is poisoning?
#
# * **Access.** A data set of images from the web is often a list of addresses. With expired domains, which anybody can buy, Carlini et al. (arXiv:2302.10149) could have poisoned 0.01 % of LAION-400M or COYO-700M for 60 dollars.
# * **Number.** Souly et al. (arXiv:2510.07192) trained models of 600 million to 13 billion parameters. About 250 poisoned documents were enough for all of them, although the largest read over 20 times as much clean text as the smallest. The backdoor was simple: after the trigger, the model writes nonsense. Whether the same holds for worse behaviour is open.
# * **Repair.** Hubinger et al. (arXiv:2401.05566) trained models to write unsafe code when the prompt says that the year is 2024. Fine-tuning on good answers, reinforcement learning and adversarial training did not remove such backdoors.
#
# What helps is to know where the data come from, to look for rare phrases in many documents, and to give a model no rights that its worst answer could abuse (7.4).
#
# **Change, predict, run.** `draw_poisoning(asked=" |mirror 8|")`: the attacker's trigger with one character wrong.
#
# <details><summary>Answer</summary>
#
# From 48 on, hardly anything changes: with 64 poisoned documents and five seeds, the wrong trigger worked in at least 93 of 100 texts. The model has learnt something like "a strange word between bars".
# </details>
