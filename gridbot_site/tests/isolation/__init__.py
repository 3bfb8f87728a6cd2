"""Does anybody see, or guess, another tenant's rows by any path that there is?

`models` finds what belongs to tenants and plants a stranger's rows full of canaries. `routes`
finds every URL and asks it for them with every method; `commands` and `doors` do the same for
management commands and for querysets and permissions. `filters` lists every line of code that
keeps tenants apart, and takes one away at a time to see that the questions notice.

What is found and has no verdict here fails a test, which says what to add.
`python -m gridbot_site.tests.isolation` asks everything, also of every mutant, and prints counts.
"""
