# %% [markdown] nbgrader={"grade": false, "grade_id": "explanation_claims", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## W8.2 Claims about explanations
#
# > **Difficulty** ★★☆☆ · **35 minutes** · **10 points** · in writing, marked by a person
#
# None of the four claims holds as it stands. Write for **each** two to four sentences (1.5 points): what is wrong, what holds instead, and **one number** that shows it, computed from the claim or taken from 8.1 to 8.9.
#
# 1. "SHAP values are the contribution of the model to each feature. Our model multiplies two inputs. For $x = (3, 2)$ both got 3, so they are equally important causes."
# 2. "LIME showed that income decides, not the group. It treats the model as a black box, so the model cannot cheat; the fidelity was 0.98; and whoever repeats it with seed 0 gets the same coefficients."
# 3. "We visualised the weights, and the attention of the last layer. The largest weight of our ReLU network belongs to input 7, and attention rests on *film*. So the network relies on these."
# 4. "The map lies exactly on the outline of the tumour, and 9 of 10 doctors find it convincing. So the network looks at the tumour."
#
# Then choose a method (or several) for **each of four people**: what would you show, what *not* say, and which check comes first? Two to four sentences and 1 point each.
#
# A. A customer whose credit was refused. B. An auditor who suspects that a bank treats two groups differently. C. An engineer whose network for X-rays does badly in a new hospital. D. A researcher who asks which part of a language model copies a name.
#
# ### BEGIN MARK SCHEME
# **How it is marked.** Claims: 1.5 points each; 1 for what is wrong and what holds instead, 0.5 for a number with its meaning. In 1, "of each feature, to the difference from a background" is needed. In 2, two of the three reasons are enough for the full point. In 3, weights and attention are both needed. In 4, plausibility must be told apart from dependence on the model. People: 1 point each; half for a method that answers *this* person's question, half for the limit and the check. For B, an explanation
# method alone, without decisions on real cases, gets at most half; for D, a probe or attention alone gets at most half.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": true, "grade_id": "explanation_claims_answer", "locked": false, "points": 10, "schema_version": 3, "solution": true, "task": false}
# Start each answer with its number or letter, in bold: **Claim 3:** …
#
# ### BEGIN SOLUTION
# **1, SHAP.** It is the other way round: the contribution of each *feature* to $f(x) - \mathbb E f$, relative to a background (arXiv:1705.07874). 3 and 3 belong to the background $(0, 0)$: alone, neither adds anything, together 6. Against $(1, 1)$, $v(\emptyset) = 1$, $v(1) = 3$, $v(2) = 2$, $v(12) = 6$, so the shares are $\frac12 (2 + 4) = 3$ and $\frac12 (1 + 3) = 2$, in sum 5. So "equally important" came from the background. And a share says nothing about causes in the world: in 8.1 the conditional version pays
# the district, which the model never reads, and the interventional one gives it 0.
#
# **2, LIME.** It asks about points around $x$ which nobody would be, and a model can recognise them (Slack et al., arXiv:1911.02508): in 8.3 the coefficient of the group falls from 0.22 to 0 although the decisions on people depend on nothing but the group. A black box protects the method from nothing. Fidelity measures the fit on those same points: it was 0.98 where the mean coefficient had the wrong sign (width 0.15, 200 points). And repeating one seed only repeats the draw; use 20 seeds, and half
# and twice the width. LIME is local: it holds at one $x$, for one width.
#
# **3, weights and attention.** In a ReLU network, a unit's incoming weights times 10 and outgoing weights divided by 10 give the same function: the "largest weight" is now another one (8.9). Units can be exchanged, and one may carry several features (8.2). *Attention* says from where vectors were taken, not what was in them: in the model of 8.4, where only *not* and a judging word matter, the last layer's attention could be made uniform without losing any accuracy in five of six trainings. Jain and Wallace (arXiv:1902.10186) found
# other weights with nearly the same output; Wiegreffe and Pinter (arXiv:1908.04626) answer that it depends on what counts as an explanation. So attention is a hypothesis. An intervention tests it (8.8).
#
# **4, outline.** An edge detector draws the same outline and has never seen the network: with all parameters redrawn, its map has a rank correlation of 1 with its map before (8.6; Adebayo et al., arXiv:1810.03292). What convinces doctors agrees with what they know already. Needed: the map changes when parameters are redrawn; removing the marked pixels lowers the logit more than removing as many others; and a test with *planted* truth: a mark in the corner that decides. If the map stays on the tumour then, it shows doctors what they like.
#
# **A, customer.** SHAP against accepted customers (on log-odds, correlated features as a group), and what would have to change for a "yes", computed from the model itself. Not: causes, or promises. First: does the order of reasons survive other backgrounds? (W8.1)
#
# **B, auditor.** Decisions on *real* applicants: acceptance and error rates by group, with intervals (6.4), and pairs that differ in the group only. In 8.3 this finds at once what LIME misses. SHAP may show where to look. Not: "share 0, so fair". First: is what we examine the model that is in use?
#
# **C, engineer.** Grad-CAM or integrated gradients on many images of both hospitals, grouped, not one nice example; then an intervention: cover or exchange the corner and count how many answers change. Not: "it looked at the lungs, so it has understood". First: redraw the parameters, and plant a mark (8.5, 8.6).
#
# **D, researcher.** Activation patching with pairs that differ in one name (8.8); attribution patching to search. A probe shows that a name can be read, not that it is used (8.7). Not: "the head for names", after one kind of sentence. First: a recovered share on new sentences and names, and does *removing* the part destroy the copy?
# ### END SOLUTION
