# %% [markdown]
# ## What you can do now
#
# - Choose the method that answers a question about a model, and say what its result leaves open.
# - Test explanations: by random parameters, by deletion, and on models whose truth is known.
# - Find the parts of a model that do the work.
# - Write to a person about a decision without saying more than you know, and examine a start-up.
#
# ### To remember
#
# 1. First the question and the person who asks it, then the method.
# 2. An explanation is a claim about a model. Test it where you know the truth.
# 3. What can be read inside a model need not be used by it: intervene.
# 4. No method here finds causes outside the model.

# %% [markdown] nbgrader={"grade": false, "grade_id": "interview_interpretability", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ## Interview questions
#
# Answer each aloud, in two minutes. Model answers stand in the solved notebook.
#
# 1. What is a SHAP value, and what does the background do?
# 2. Two features are strongly correlated, and the model uses one of them. What does SHAP give the other?
# 3. LIME gives other coefficients each time. Why, and what do you do?
# 4. How would you deceive LIME or SHAP on purpose, and how is that found out?
# 5. Why integrated gradients instead of the gradient? What is completeness, and what is the baseline?
# 6. What does Grad-CAM compute, and when is it wrong?
# 7. A saliency map marks the tumour. Which tests do you ask for?
# 8. Is attention an explanation?
# 9. A linear probe reads "the sentence is a question" from layer 5 with 95 %. What do you conclude?
# 10. What does activation patching find that a probe does not? How can it mislead?
# 11. A sparse autoencoder explains 99 % of the variance. Has it found the model's features?
# 12. Why do medicine and banks ask for explanations, and when is a simpler model the better answer?
#
# ### BEGIN MARK SCHEME
# **Model answers.**
#
# 1. A feature's mean contribution, over all orders in which features become known, to $f(x)$ minus the mean prediction of a background. Absent features take the background's values. Another background asks another question, and may reverse the order of reasons (W8.1). It is about the model, not about causes.
# 2. With absent features drawn independently: 0, true to the model, but it asks about combinations that do not exist. With conditional means: a share, true to the data, though the model never reads it. Neither is wrong; say which. If the model uses both, they split the share: report them as a group.
# 3. Few of the drawn points are near, so the draw decides. More points, another width; report mean and spread over draws, and several widths. $R^2$ does not warn. If the sign depends on the width, the model is curved there: say so, or show the curve.
# 4. Both ask about points that no person has. A model that recognises these can behave well on them and badly on people (arXiv:1911.02508). Count decisions on real cases, by group; check that the examined model is the one in use.
# 5. The gradient is 0 where the model is saturated, even if the input decided. The integral along a path from a baseline adds up to $f(x) - f(b)$: completeness, which also tests the program. The baseline is what "absent" means; a pixel equal to it always gets 0. So show two.
# 6. Channel weights are the mean gradients of the class's logit; the map is the positive part of the weighted sum of channels. It has the layer's coarse size. The mean forgets places: where the same channel speaks for the class on the left and against it on the right, it shows both. It must be the class asked for, and the logit.
# 7. Redraw the parameters: the map must change. Delete the marked pixels against random ones, with two meanings of "deleted". Plant a mark that decides, and see whether the map finds it. Images of other hospitals. That it marks the tumour is what everybody expects, and an edge detector does so, too.
# 8. Not by itself. Weights say from where vectors are taken, not what is in them, and later layers may ignore the result; in 8.4 the last layer's could be made uniform at no cost. It is a hypothesis about paths (arXiv:1902.10186, 1908.04626). Intervene.
# 9. Little yet. How frequent are questions? What does the probe reach on control labels, on an untrained model, on the embeddings? A question mark is in the input. Reading is not use: remove the direction, and see whether behaviour changes.
# 10. Whether a vector *carries* the difference between two runs, so that the output follows it. It depends on the pair: what both runs share stays invisible, and another corruption shows other parts. Replaced activations may be unusual, a spare part may take over, and one kind of sentence is not all. Test on new pairs, and in the other direction.
# 11. That does not follow. Without sparsity, the error is 0 and hardly a true feature is found (8.2). Look at sparsity, at dead latents, at whether features are stable over seeds, and whether changing one alters behaviour as its name says. Where possible, a model with known features.
# 12. People must be able to object, doctors to notice errors, engineers to find false clues, and law asks for it in part. An explanation that pleases can raise trust in a wrong decision. If a small additive model is as good, take it: it *is* its explanation, except for correlated features and causes. And measure decisions and errors by group in any case.
# ### END MARK SCHEME

# %% [markdown] nbgrader={"grade": false, "grade_id": "corrected_claims_interpretability", "locked": true, "schema_version": 3, "solution": false, "task": false}
# ### Claims that this chapter corrected
#
# The table stands in the solved notebook, because it answers W8.2.
#
# ### BEGIN MARK SCHEME
# | what is said | what is true | where |
# |---|---|---|
# | "SHAP is the contribution of the model to each feature." | Of each feature, to $f(x) - \mathbb E f$, for a background. | 8.1 |
# | "The largest share is the cause." | It is about the model; another background, another order. | 8.1, W8.1 |
# | "A feature that the model does not use gets 0." | Not with conditional means. | 8.1 |
# | "LIME shows how the model works." | At one point, for one width and draw. | 8.3 |
# | "A high fidelity is a good explanation." | It measures the fit on drawn points. | 8.3 |
# | "A black-box method cannot be deceived." | A model can recognise the questions. | 8.3 |
# | "The gradient shows importance." | It shows what a small change does. | 8.4 |
# | "Attention is the explanation." | A hypothesis; intervene. | 8.4, 8.8 |
# | "The map lies on the object, so it is right." | Edges do, too; redraw the parameters. | 8.6 |
# | "Visualise the weights, and you understand." | The same function has many pictures; neurons carry several features. | 8.2, 8.9 |
# | "It reconstructs, so it has found the features." | Without sparsity it finds hardly any. | 8.2 |
# | "The probe reads it, so the model uses it." | The probe may have learnt it; reading is not use. | 8.7 |
# | "The network does not contain nationality." | It may act on it through other features. | W8.1 |
# ### END MARK SCHEME

# %% [markdown]
# ### Further reading
#
# - Molnar, *Interpretable Machine Learning*, a free book.
# - Rudin, *Stop Explaining Black Box Machine Learning Models for High Stakes Decisions*, arXiv:1811.10154.
# - Wachter, Mittelstadt and Russell, *Counterfactual Explanations without Opening the Black Box*, arXiv:1711.00399.
# - Wang et al., *Interpretability in the Wild*, arXiv:2211.00593: a circuit in GPT-2 small.
#
# ### The end of the course
#
# You have built a tokenizer and a small GPT, trained it, made it faster, cut it over several processes, tuned it, measured it, attacked it, and looked inside. What to do next:
#
# 1. **One question of your own.** Follow a "Change, predict, run" that surprised you for a week: prediction first, five seeds, error bars. Write two pages, and keep the negative results.
# 2. **Repeat one paper** that has code, at a tenth of the size, and write down where you had to guess.
# 3. **Real size.** Read a small complete implementation (nanoGPT, nanochat). Compute what one GPU should do in a day (1.11, 3.1), rent it, and compare.
# 4. **Read claims as in W8.3.** Take one press release a week: what is claimed, with which number, compared with what?
#
# It is the same each time: predict, compare with something that you know, look for the error where a result is too good, and say what you do not know.
