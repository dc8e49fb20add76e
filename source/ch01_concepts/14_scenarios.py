# %% [markdown] nbgrader={"grade": false, "grade_id": "scenarios", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W1.2 Three scenarios
#
# > **Difficulty** ★★☆☆ · **45 minutes** · **12 points** · in writing, marked by a person
#
# Choose a model for each, in five to eight sentences: which family and about which size, how it gets trained or adapted, how you will judge it, and **what you give up**. Support the choice with one number that
# you computed from the sizes, and its assumptions: memory, operations, time or cost. Each scenario has four points: a fitting choice, the number, what you give up, how you judge.
#
# 1. **A meter-reading app.** Photographs of water meters, cropped to the counter of five digits; 20,000 of them with the reading. It runs on a mid-range phone without a connection, at most 50 ms
#    per image; assume 5 GFLOP/s that you really get, and 10 MB for the weights.
# 2. **Medical letters.** 500 letters, each with any of eight diagnoses or none. They must not leave the hospital, which has one GPU with 24 GB. A missed diagnosis costs far more than a false alarm.
# 3. **A support desk.** Customers ask about 10 million documents that change daily. Answers have to name their source and begin within two seconds.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Four points per scenario: 1 the choice fits task and constraints; 1 a computed number with its unit supports it; 1 what is given up is named (a cost, a failure, an alternative that was rejected and why);
# 1 how success is judged, on data that is like the real ones (other meters and phones; later letters, recall at a fixed rate of false alarms; new documents, whether the source says what the answer says).
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "scenarios_answer", "locked": false, "points": 12, "schema_version": 3, "solution": true, "task": false}
# ### BEGIN SOLUTION
# **1.** A small CNN, trained from scratch on the 20,000 photographs with shifts, blur and brightness as augmentation, but no flips. 50 ms at 5 GFLOP/s are 0.25 GFLOPs in all. A convolution with $3 \times 3$ kernels
# from $c$ to $c$ channels on an $h \times w$ map takes $2 \cdot 9 c^2 h w$ operations: at 32 channels on $32 \times 128$ that is 0.075 GFLOPs, so there is room for three such layers, or more if the map is halved
# early. Some hundred thousand parameters at 8 bits are far below 10 MB. Given up: reading meters of an unknown make; a vision transformer would need pretraining and more operations. Judged by the share of meters that are read
# without any error, on makes and phones that are not in the training data, with a threshold below which the app asks for another photograph.
#
# **2.** A pretrained encoder of about 110 million parameters, fine-tuned inside the hospital. By the calculator's rule, training takes 16 bytes per parameter, 1.8 GB, plus activations: it fits. With 500 letters the variance is
# large, so: a linear model on TF-IDF as the baseline, cross-validation by patient, and few epochs. The loss or the threshold is weighted so that recall is fixed first, and the rate of false alarms reported at that recall. Given up: a decoder of
# 8 billion parameters would know more medicine, but in 16 bits its weights alone take 16 GB of the 24, and full fine-tuning would take 128 GB. Judged on letters of later months, by recall per diagnosis with an interval; with 60 cases
# per class the interval is wide, which the report must say.
#
# **3.** Retrieval and a decoder of about 8 billion parameters. Two encoders map questions and passages to vectors; 10 million documents at 768 numbers of 16 bits are 15 GB, which fits in memory. The index is updated daily; the model is
# not, which is the point: training cannot follow documents that change daily. The best five passages are put into the prompt. 3,000 tokens of prompt at $2N$ operations each are $4.8 \times 10^{13}$, so about 0.1 s at
# 400 TFLOP/s: the first word comes in time. Given up: questions whose answer is spread over many documents; and errors of the retrieval cannot be repaired by the model. Judged by recall of the right passage among five,
# by people who check whether the cited passage supports the answer, and by how often the system rightly says that it does not know.
# ### END SOLUTION

