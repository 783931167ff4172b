"""A card is read in terminals and browsers; names of sources in it are whoever's who wrote the documents."""

from curate.quality import card


def test_names_of_sources_are_only_text():
    """No HTML, no link, no end of a cell or a line, no control of a terminal; plain names stay as they are."""
    rows = card._table(["source", "good"], [["a|b\n## c <script>`[x](y)\x1b[31m\u202e", 1], ["web-1 (é) forum_2.x", 2]])
    assert rows[2] == r"| a\|b ## c &lt;script>\`\[x](y)\u001b\[31m\u202e | 1 |"
    assert rows[3] == "| web-1 (é) forum_2.x | 2 |"
