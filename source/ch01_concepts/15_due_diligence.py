# %% [markdown] nbgrader={"grade": false, "grade_id": "due_diligence", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W1.3 Due diligence
#
# > **Difficulty** ★★★☆ · **55 minutes** · **12 points** · in writing, marked by a person
#
# A fund asks you whether to invest in *Lumen*, a fictional start-up. Its plan:
#
# > We will pretrain our own model of 70 billion parameters on 2 trillion tokens, in sequences of 8,192. With 256 H100 this takes **six weeks**; at 2.50 dollars per GPU-hour the compute is **under one million dollars**. Our data are
# > web pages and messages of 40 million smart-home devices, so supply grows with 5G. Quantised to 4 bits, the model has **a quarter of the parameters**. We will serve **10,000 users at once**, each with a
# > context of 32,768 tokens, on 16 GPUs with 80 GB each. Our moat: nobody else has an open-source model as a basis, as we do with Llama. As we only sell in Europe by API, no regulation applies before 2030.
#
# The shape is `LUMEN` below: Llama 3 70B's, with a smaller vocabulary. **Write a memo of about one page.** Check the budget with your calculator (in `plan_numbers`, not marked), at 40 % of 989 TFLOP/s. Say
# which claims are wrong and by what factor, what you would ask for before investing, and your advice. Include team, data rights, market and competitors. Three points each: claims checked, numbers with units, alternatives weighed, limits of your
# numbers and of the plan.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Four criteria, 3 points each. *Claims correct*: training time, cost and memory checked, each off by the right factor; parameters do not shrink with bits. *Quantitative evidence*: numbers with units that follow from the calculator, assumptions stated.
# *Trade-offs named*: fewer tokens or a smaller model or more GPUs; shorter contexts, fewer users or quantised caches; fine-tuning an open-weight model instead. *Limits stated*: what the numbers leave out (failed runs, experiments,
# staff, evaluation), data rights and consent of device owners, telemetry is not language, licence conditions of the basis, obligations under the AI Act that hold already.
# ### END MARK SCHEME

# %% nbgrader={"grade": false, "grade_id": "lumen", "locked": true, "schema_version": 3, "solution": false, "task": false}
LUMEN = DecoderConfig(vocab_size=64_000, d_model=8192, n_layers=80, n_heads=64, n_kv_heads=8, d_ff=28_672)

# %% nbgrader={"grade": false, "grade_id": "plan_numbers", "locked": false, "schema_version": 3, "solution": true, "task": false}
def plan_numbers() -> None:
    """Prints the numbers of the plan that your memo needs, with their units."""
    ### BEGIN SOLUTION
    training = training_flops(LUMEN, tokens=2_000_000_000_000, length=8192)
    hours = gpu_hours(training, peak=989e12, utilisation=0.4)
    cache = kv_cache_bytes(LUMEN, batch=1, length=32_768)
    print(f"parameters                 {parameter_count(LUMEN) / 1e9:.1f} billion")
    print(f"training                   {training:.1e} FLOPs, {hours:,.0f} GPU-hours, {hours / 256 / 24:.0f} days on 256 GPUs, {hours * 2.5 / 1e6:.1f} million dollars")
    print(f"weights in 16, 4 bits      {weight_bytes(LUMEN) / 1e9:.0f}, {weight_bytes(LUMEN, bits=4) / 1e9:.0f} GB")
    print(f"cache of one user          {cache / 1e9:.1f} GB; of 10,000 users {cache * 10_000 / 1e12:.0f} TB; 16 GPUs have {16 * 80 / 1000:.2f} TB")
    ### END SOLUTION


# %% tags=["demo", "shown"]
try:
    plan_numbers()
except NotImplementedError:
    print("Your plan_numbers, or a function of section 1.11 that it calls, is not written yet.")

# %% [markdown] nbgrader={"grade": true, "grade_id": "due_diligence_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **Advice.** Do not invest in this plan; a plan that adapts an open-weight model and serves shorter contexts could be worth a second look.
#
# **Training.** The cell above gives $9.6 \times 10^{23}$ operations, 15 % over $6ND$ because attention is counted, too. At 40 % of the peak this is 109 days on 256 GPUs, not six weeks: off by a factor of 2.6. At 2.50 dollars
# the single, clean run costs 1.7 million dollars, not under one, and no run is clean: restarts, failed attempts, smaller experiments and the evaluation are not in the plan. Six weeks would take about 670 GPUs, or 0.77 trillion tokens.
# 2 trillion tokens are 29 per parameter, reasonable for training, but a model that is served a lot is better off smaller and trained longer.
#
# **Serving.** Quantising leaves the number of parameters as it is and takes the weights from 139 to 35 GB. The cache is the obstacle: 10.7 GB per user, 107 TB for 10,000 of them, against 1.28 TB in all 16 GPUs: off by more than eighty times, before
# any weights. With caches in 8 bits and contexts of 4,096 tokens, a user takes 0.67 GB, and the 16 GPUs hold some 1,800. Not all users write at once, so ask for the real rate of requests.
#
# **Data.** 40 million devices do not yield language: readings and commands are short and repetitive, and "grows with 5G" is about bytes. Messages are personal data; consent and purpose have to be shown. Web pages are what everybody has. Ask for
# the number of tokens after deduplication, and for the licences.
#
# **Moat and licence.** An own model and "we have Llama" exclude each other. Open weights are available to every competitor, and their licence is not an open-source one; read it. What could keep others away are the devices, contracts and evaluation on
# the customers' tasks.
#
# **Regulation.** The AI Act applies to providers who place models on the EU's market, by API, too; the duties of providers of general-purpose models (article 53) apply since August 2025. At $9.6 \times 10^{23}$ FLOPs the model is below the
# $10^{25}$ of article 51. Data protection law applies to the messages whatever the model.
#
# **Ask for.** A run at one hundredth of the scale with its loss curve; names of those who have trained at this scale; rights to the data; a customer who pays. **Limits of this memo:** utilisation of 40 % is good practice, not known here; prices move; nothing was
# measured on their system.
# ### END SOLUTION

