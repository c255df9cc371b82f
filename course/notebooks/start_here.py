# %% [markdown]
# # Start here
#
# In this course you build layer normalization yourself: first in NumPy, then with its gradients, then
# as a PyTorch module, and on to its relatives, to Transformers, and to the questions that papers
# argue about. This page shows how to work with it. By the end you can
#
# - write a task, check it, and read what the report card says,
# - take a failing case out and look at it,
# - find your way through the notebooks.
#
# **10 minutes · easy · not graded.** You need Python and a little NumPy.

# %%
import numpy as np

from course import check
from course.student.figures.course_map import course_map, own_scores
from course.student.prediction import Prediction
from course.student.waiting import waits_for

# %% [markdown]
# ## The idea
#
# Every notebook goes the same way: an idea with an example to do by hand, a question to answer before
# you know, one or more tasks, figures that run on *your* code, what the papers found, and
# questions to think about.
#
# A task is three things: a text that says what to build and what trips people up, a cell to write
# in, and a cell to run. Here is one. Subtract from each row of an array its mean:
#
# | x | mean of the row | result |
# |---|---|---|
# | 1, 2, 6 | 3 | −2, −1, 3 |
# | 4, 4, 10 | 6 | −2, −2, 4 |
#
# ## Predict
#
# Before the task, a question: `x` has the shape `(2, 3)`. What is the shape of `x.mean(axis=1)`?
# Choose one. It is kept for you and never graded.

# %% tags=["show"]
prediction = Prediction("start_here", "(2,)", "(3,)", "(2, 1)", "(1, 3)")
prediction

# %% [markdown]
# <details><summary>The answer</summary>
#
# `(2,)`. `axis=1` names the axis that disappears. To keep it, with length 1, there is
# `keepdims=True`, which gives `(2, 1)`. Why that matters you will see in a moment.
#
# </details>

# %% tags=["show"]
x = np.array([[1.0, 2.0, 6.0], [4.0, 4.0, 10.0]])
print("x.mean(axis=1) is                ", x.mean(axis=1).tolist())
print("x.mean(axis=1, keepdims=True) is ", x.mean(axis=1, keepdims=True).tolist())
prediction.beside(str(x.mean(axis=1).shape))

# %% [markdown]
# ## Task: `centre_rows`
#
# 1. Run the two cells below as they are. The card says that you have not started: a task that is not
#    written yet is no error, and stops nothing.
# 2. Now make a mistake on purpose: replace the two lines by `return x - x.mean(axis=1)`, and run both
#    cells again. The card tells you which mistake it was.
# 3. Then write it properly.


# %% tags=["solution"]
def centre_rows(x):
    """
    Subtract from each row its mean.

    Args:
        x: Input array of shape (rows, columns)

    Returns:
        Array of same shape as x; each of its rows has mean 0
    """
    # 1. Calculate the mean of each row
    # 2. Subtract it
    ### BEGIN SOLUTION
    return x - x.mean(axis=1, keepdims=True)
    ### END SOLUTION


# %% tags=["check"]
check("start_centre_rows", centre_rows)

# %% [markdown]
# <details><summary>Hint 1: a nudge</summary>
#
# NumPy lines the shapes `(2, 3)` and `(2,)` up from the right: it pairs the 3 with the 2.
#
# </details>
# <details><summary>Hint 2: nearly there</summary>
#
# ```python
# mean = x.mean(axis=..., keepdims=...)   # shape (rows, 1)
# return ...
# ```
#
# </details>
#
# When a case fails, you can hold it in your hands. Make your mistake once more, run the check, and
# then the next cell: it has the inputs of the first failing case, your outputs, and the expected ones.

# %% tags=["show"]
case = check.last_failure()
case

# %% [markdown]
# What else is good to know:
#
# - The line of a check is locked, and its result is your score. Grading runs the same check with other
#   inputs, so a number copied from the card earns nothing.
# - A right answer gets full marks however you write it.
#   Only where weights are to be loaded from PyTorch's own layers do names count, for a small part of
#   the points; the text of the task says so.
# - Hints are folded, from a nudge to nearly there. Open them in order.
# - Figures and experiments that need your code wait for it, and say so:

# %% tags=["show"]
with waits_for(centre_rows):
    print("Your rows, centred:", centre_rows(x).tolist())

# %% [markdown]
# ## The map
#
# An arrow means "builds on". Boxes fill with colour as your points grow. Exercises are
# numbered 1 to 10; C1 to C5 are further challenges for bonus points. The first three are the ground
# for all the rest; after that, follow your interest.

# %% tags=["show", "nbval-ignore-output"]
course_map()

# %% [markdown]
# ## Your progress
#
# Each check notes its points, the known mistakes it met and the time in one small file,
# `progress.jsonl`, beside the folders of the notebooks. It is yours: delete it to start afresh. It
# is never handed in, and no grade depends on it. Run this cell whenever you come back.

# %% tags=["show", "nbval-ignore-output"]
own_scores()

# %% [markdown]
# **Next.** Exercise 1: layer normalization in NumPy, in four steps.
