"""How Sphinx makes the site; build.py beside it gathers the pages."""

from operator import methodcaller

project = "Large models: a course that grades itself"
html_title = project
extensions = ["myst_nb", "sphinx-mathjax-offline"]

# What the pages show was executed when the notebooks were built.
nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

myst_enable_extensions = ["amsmath", "dollarmath"]
myst_heading_anchors = 3

# The name by which a link in a notebook calls a heading, as in JupyterLab.
myst_heading_slug_func = methodcaller("replace", " ", "-")

# The text is as its authors wrote it: quotes are theirs, and two hyphens are an option.
smartquotes = False

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["course.css"]
pygments_dark_style = "a11y-high-contrast-dark"
html_copy_source = False
html_show_copyright = False
html_show_search_summary = False  # it would fetch whole chapters, which pages in a folder may not
html_use_index = False
# MathJax is part of the site, by the second extension. Its menu leads to the site of its authors.
mathjax3_config = {"options": {"enableMenu": False}}
