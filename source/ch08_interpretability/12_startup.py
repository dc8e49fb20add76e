# %% [markdown] nbgrader={"grade": false, "grade_id": "startup", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W8.3 A start-up examined
#
# > **Difficulty** ★★★★ · **150 minutes** · **20 points** · in writing, marked by a person · the capstone
#
# *Tessera*, a fictional start-up, builds a language model for law firms and asks for 20 million euros. You have its pitch and one day.
#
# > 1. **Model.** 40 layers of width 5,120, 13 billion parameters. We train it on 1.3 trillion tokens. With 128 H100 at 2.50 € an hour, this takes 24 days and costs 180,000 €. That is far below the AI Act's $10^{25}$ operations.
# > 2. **Data.** 26 billion tokens of contracts and judgments, read 50 times: as good as 1.3 trillion tokens of our own.
# > 3. **Cluster.** With stage 1 of ZeRO, everything fits into 80 GB. And each GPU sends only its 128th part of the gradients, 0.2 GB a step, so 256 GPUs will be twice as fast.
# > 4. **Quality.** 86 % on LexTest, a public benchmark. The market leader has 83 %.
# > 5. **Tuning.** This is the best of 40 versions, chosen by LexTest itself.
# > 6. **Speed.** Half of the weights are pruned (2 ×), the others stored in 4 bits instead of 16 (4 ×): 8 times as fast.
# > 7. **Costs.** A token takes $2N$ operations, so one H100 makes 37,000 tokens a second. A million tokens cost us 2 cents. We sell them for 50 cents.
# > 8. **Privacy.** Trained further on clients' documents with DP-SGD, $\varepsilon = 4$, $\delta = 10^{-6}$ for a document. An attacker with 1 % false alarms finds at most 4 % of the documents that were used. So clients are protected.
# > 9. **Security.** It reads incoming mail, and can send mail. A filter stops 99 % of injected instructions.
# > 10. **Explanations.** Each answer comes with a map of the words it rests on. Nine of ten lawyers find them convincing, so the model is explained.
# > 11. **Market.** In a pilot, lawyers finished more of their tasks in time: 57 instead of 50 %, $p = 0.047$. 200,000 lawyers at 100 € a month are 240 million € a year.
#
# From the data room:
#
# | on | facts |
# |---|---|
# | 1 | 8 key-value heads of 40, head width 128, gated MLP of 16,384, vocabulary 64,000, not tied; sequences of 8,192; RMSNorm, no biases; in training, 40 % of the peak are useful operations ($6N$ a token) |
# | 3 | mixed precision (gradients in 16 bits), AdamW, checkpointing, one sequence at a time; $2^{22}$ tokens a step; 50 GB a second for each GPU between servers |
# | 4 | 400 questions; 90 share a sequence of 13 words with the training data. Tessera has 87 of these correct and 257 of the others, the leader 74 and 258 |
# | 5 | the 40 results have a standard deviation of 1.2 points |
# | 6, 7 | H100: 2.50 € an hour, 80 GB, $9.89 \cdot 10^{14}$ operations and $3.35 \cdot 10^{12}$ bytes a second; weights and cache in 16 bits; contexts of 16,384 tokens; pruned weights are zeros in full matrices |
# | 8 | a client has about 50 documents; the audit found a canary in 60 of 200 trainings with it, in 0 of 200 without |
# | 9 | a firm gets about 100 mails a day from its opponents; at worst, each is an attack |
# | 10 | with all parameters redrawn, the maps' rank correlation with those before is 0.9. Without the ten marked words the answer's probability falls by 0.06, without ten random ones by 0.05 |
# | 11 | 400 lawyers in each arm; looked at on each of ten days, and stopped when $p < 0.05$ |
#
# **Write a memo of at most 1,200 words.** Put the arithmetic into `examine` (not marked).
#
# - **Each of the 11 claims**: right, wrong (by which factor or difference?), or not shown. With the number.
# - **What you demand** before a signature: three experiments at most, each with the result that would make you say no.
# - **Technique, data, compute, commerce**: what does this firm have that others cannot buy?
# - **Your decision**, with conditions, and the limits of your memo.
#
# Your tools: 1.11 (claim 1), 2.10 (2), 4.1 and 4.7 (3), 6.4 and 6.8 (4), 5.7 (5), 3.1, 3.5 and 3.9 (6, 7), 7.6 and 7.7 (8), 7.4 (9), 8.6 (10), 6.5 (11).
#
# ### BEGIN MARK SCHEME
# **How it is marked.** *Claims, 11 points*, one each: half for the verdict, half for the number (within 15 %; other stated assumptions are as good). A claim that is right and called wrong gets nothing: these are the size, time and costs of one clean run in 1 (attention's extra is a bonus), and the memory in 3. In 4, overlap or error bars, with a number; both are better. In 8, $e^\varepsilon$ or the unit. In 10, that pleasing maps are no evidence. *Demands, 3*: each can fail, states its threshold, and its cost fits its size.
# *Judgement, 3*: data rights, competitors, costs per customer, what is hard to copy, team. *Decision and limits, 3*: follows from the claims; says which of them carry it; says what one day cannot find out. A memo that only finds faults, or gives each claim the same weight, gets at most 1 of the last 3.
# ### END MARK SCHEME

# %% nbgrader={"grade": false, "grade_id": "examine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def examine() -> None:
    """Prints the numbers that your memo needs, with their units."""
    ### BEGIN SOLUTION
    from scipy.stats import beta, norm

    # 1, size and training (1.11)
    layers, d, hidden, vocabulary, kv_width, length = 40, 5120, 16_384, 64_000, 8 * 128, 8192
    n = layers * (2 * d * d + 2 * d * kv_width + 3 * d * hidden + 2 * d) + d + 2 * vocabulary * d
    tokens, rate = 1.3e12, 0.4 * 9.89e14
    flops = 6 * n * tokens
    attention = 12 * layers * length * d / (6 * n)
    hours = flops / rate / 3600
    print(f" 1  {n / 1e9:.2f} billion parameters, 6ND = {flops:.2e}, {hours / 128 / 24:.1f} days, {2.5 * hours:,.0f} €; attention adds {attention:.0%}, or {attention / 2:.0%} if masked scores are skipped")
    # 2, passes (2.10)
    print(f" 2  four passes: {4 * 26} billion tokens, {1300 / (4 * 26):.1f} times fewer than claimed; 16 passes: {16 * 26}, {1300 / (16 * 26):.1f} times fewer")
    # 3, memory and traffic (4.1, 4.7)
    memory, activations = (4 + 12 / 128) * n / 1e9, 2 * length * d * layers / 1e9
    sent, claimed = 2 * 127 / 128 * 2 * n / 1e9, 2 * n / 128 / 1e9
    seconds = 6 * n * 2**22 / rate / 128
    print(f" 3  {memory:.1f} + {activations:.1f} GB; sends {sent:.1f} GB, not {claimed:.2f}: factor {sent / claimed:.0f}; {sent / 50:.2f} s beside {seconds:.1f} s of computing; twice the GPUs: {(seconds + sent / 50) / (seconds / 2 + sent / 50):.2f} times as fast, if nothing overlaps")
    # 4, contamination and error (6.4, 6.8)
    error = math.sqrt(0.86 * 0.14 / 400 + 0.83 * 0.17 / 400)
    print(f" 4  lead 3.0 ± {100 * error:.1f} points unpaired; with overlap {87 / 90:.1%} and {74 / 90:.1%}, without {257 / 310:.1%} and {258 / 310:.1%}")
    # 5, the best of 40 (5.7)
    z = np.linspace(-10, 10, 20_001)
    expected = float((z * 40 * norm.pdf(z) * norm.cdf(z) ** 39).sum() * (z[1] - z[0]))
    print(f" 5  the best of 40 equal ones is {expected:.2f} standard deviations above their mean: {expected * 1.2:.1f} points")
    # 6 and 7, roofline with the cache (3.1, 3.9)
    peak, bandwidth, cache = 9.89e14, 3.35e12, 2 * layers * kv_width * 2 * 16_384
    print(f" 6  a token at batch 1: {2 * n / bandwidth * 1e3:.1f} ms in 16 bits, {0.5 * n / bandwidth * 1e3:.1f} ms in 4 bits: at most 4 times as fast; operations limit from batch {peak / bandwidth:.0f} on in 16 bits, {peak / bandwidth / 4:.0f} in 4")
    for name, weights, one, in_room in (("16 bits", 2 * n, cache, int((80e9 - 2 * n) / cache)), ("weights 4, cache 8 bits", n / 2, cache / 2, int((80e9 - n / 2) / (cache / 2)))):
        step = (weights + in_room * one) / bandwidth
        print(f" 7  {name}: {in_room} contexts of {one / 1e9:.2f} GB, a step takes {step * 1e3:.0f} ms, {in_room / step:,.0f} tokens/s, {2.5 / (in_room / step * 3600) * 1e6:.2f} € a million (claimed {2.5 / (peak / (2 * n) * 3600) * 1e6:.3f})")
    # 8, privacy (7.6, 7.7)
    low, high = beta.ppf(0.025, 60, 141), 1 - 0.025 ** (1 / 200)
    print(f" 8  TPR at FPR 1 %: up to {math.exp(4) * 0.01:.0%}; a client of 50 documents: ε = {50 * 4}; the audit proves ε ≥ {math.log(low / high):.1f} (TPR ≥ {low:.3f}, FPR ≤ {high:.4f})")
    # 9, security (7.4)
    print(f" 9  at least one of 100 gets through: {1 - 0.99**100:.0%} a day, if all are attacks")
    # 11, peeking (6.5)
    statistic = 0.07 / math.sqrt(0.57 * 0.43 / 400 + 0.5 * 0.5 / 400)
    print(f"11  {statistic:.2f} standard errors, p = {2 * norm.sf(statistic):.3f}; ten looks need 2.56")
    ### END SOLUTION


# %% tags=["demo", "shown"]
try:
    examine()
except NotImplementedError:
    print("Your examine is not written yet.")

# %% [markdown] nbgrader={"grade": true, "grade_id": "startup_answer", "locked": false, "points": 20, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **Decision.** Not 20 million now. 1 million for three months, for the three experiments below, and an option on the rest. The firm can build and train a model. It has not shown that the model is better than one that can be bought, and as built, with full contexts, it loses money on each token (claim 7). Privacy and security (8, 9) must be built anew before a client's document is touched.
#
# | | verdict | number |
# |---|---|---|
# | 1 model | **right** | 13.2 billion; $1.03 \cdot 10^{23}$ operations, 23.6 days, 181,000 €. Attention at 8,192 tokens adds 13 to 25 %: up to 30 days. One clean run; failed ones and searches are not in it. A hundredth of $10^{25}$, but duties for general-purpose models begin lower: the Commission's guidelines of July 2025 take $10^{23}$ as an indication. Ask a lawyer |
# | 2 data | **wrong, 3 to 12.5 ×** | Four passes are nearly as good as new text: 104 billion tokens' worth. Beyond about 16 (416 billion), hardly anything is gained (arXiv:2305.16264). So most of the 24 days are wasted, and the model learns clients' texts by heart (7.8) |
# | 3 cluster | memory **right**, traffic **wrong, 254 ×** | 54.2 GB and 3.4 for activations. An all-reduce sends $2 \frac{127}{128} \cdot 26.5 = 52.5$ GB from each GPU, however many there are: 1.05 s beside 6.6 s of computing. 256 GPUs: 1.76 times as fast, unless it hides behind the backward pass; at the same batch |
# | 4 quality | **not shown** | The lead is 3.0 ± 2.6 points (unpaired). On the 90 questions with overlap 97 %, against 82; on the 310 others 82.9, against 83.2. Without what it may have read, no lead. (The 90 may be easier in themselves; the leader's 82 and 83 % speak against it.) McNemar's test on the 310 needs the table |
# | 5 tuning | **wrong** | A selection on the test. If all 40 are equally good, the best is $2.16 \cdot 1.2 = 2.6$ points too good: nearly the whole lead. (Part of the spread may be real: then less. The sampling error of 400 questions, 1.7 points, is larger, but all versions answer the same ones.) |
# | 6 speed | **wrong, at least 2 ×** | Zeros in a full matrix are read and multiplied like other numbers: 1 ×. 4 bits: at most 4 ×, 7.9 to 2.0 ms a token at batch 1, weights alone. In large batches, operations and caches count: less |
# | 7 costs | **wrong, 45 ×** | Generating is limited by memory. 19 full contexts of 2.7 GB fit beside the weights; a step reads 77 GB in 23 ms: 820 tokens a second, 0.85 € a million. Sold for 0.50. With 4-bit weights and 8-bit caches 54 contexts, 0.30 €, at a GPU that is never idle. Shorter contexts help more than anything |
# | 8 privacy | **wrong, 14 ×** | $e^4 \cdot 1\,\% = 55$ %, not 4. And the unit is the document: for a client, $\varepsilon = 200$, which promises nothing. The audit proves $\varepsilon \ge 2.6$; it does not contradict 4, and does not confirm it |
# | 9 security | **wrong in kind** | If all 100 mails are attacks, one gets through on 63 % of the days; and attackers learn, so 99 % is from yesterday. What may be sent to whom must be decided outside the model: labels on data, recipients from a list, a click by a person (7.4) |
# | 10 explanations | **not shown** | The maps hardly depend on what was learnt: correlation 0.9 after redrawing. Marked words matter 0.06, random ones 0.05. They look right because they show the text. What the law asks for is for a lawyer. Quotations with their source can be checked, and would be worth more |
# | 11 market | **not shown** | 1.99 standard errors; with ten looks, 2.56 are needed, and "stop at $p < 0.05$" finds something in 19 % of pilots of a useless product. The 240 million assume that every lawyer pays. 1 % would be 2.4 million |
#
# **Three experiments.** *(a) Quality, four weeks, 60,000 €:* 1,250 new questions, written by lawyers of three firms after the training, never seen by Tessera; paired with the leader and with an open model of similar size, trained further on the same data. No, if the interval of the difference to the open model includes 0. (At 3 points and 14 % disagreement, 1,250 give a power of 80 %: 6.4.) *(b) Costs, one week:* replay two weeks of a pilot firm's real requests on one GPU, with answer times. No, if a million tokens cost more than 0.25 €, half of the price.
# *(c) Attack, three weeks, by outsiders who know the design:* injected mails against the rebuilt assistant, canaries of whole *clients* against the rebuilt training. No, if a single privileged action follows from foreign text, or if a canary client is found more often than the claimed $\varepsilon$ allows, with 95 % confidence. At the same time a pilot of fixed length, 800 lawyers in each arm: 80 % power for 50 against 57 %.
#
# **Technique.** Sound engineering, nothing new: training at this scale for 180,000 € is within anybody's reach. That is good for the costs, and bad as a protection. **Data.** 26 billion tokens of contracts would be the treasure. Whose are they? Clients' documents are confidential and belong to the clients; judgments are public, in the main. I want each source with its licence, the number of tokens after removing repeats, and the answer to "can one client be taken out?" Without rights, the value is negative. **Compute.** No obstacle: 2 tokens of new text for each parameter
# say that data are what is missing. An open model of this size, trained further on 26 billion tokens, costs 2 % of the training, about 3,600 €. Let them explain why they began at zero. **Commerce.** The price must follow the memory, not the operations: by contexts, or with a limit. The leader can halve its price. What others cannot buy: contracts with firms, lawyers who write tests, a place in their daily work, insurance for errors. I see one pilot. **Team.** Somebody calculates correctly (1, 3), somebody else writes
# the pitch. I want to meet the person who found the 90 questions, because that one put them into the data room.
#
# **What carries the decision.** 4 with 5 (no shown lead), 7 (a loss on each token, as built), 8 with 9 (damage that ends a law firm's trust). 2, 3 and 6 are errors that cost time, not the firm. If (a) and (b) succeed, I would pay, even if all the rest stayed as it is, except 8 and 9.
#
# **Limits.** All of it is arithmetic on their own numbers; I have measured nothing. 40 % of the peak is good practice, not their value. The costs take full contexts and leave out reading the prompt, answer times, idle hours and staff. Overlap of 13 words misses rephrased questions, so even 82.9 may be too high. I have not examined the patents, contracts and books, and law only as far as a technician can. And I had a day.
# ### END SOLUTION
