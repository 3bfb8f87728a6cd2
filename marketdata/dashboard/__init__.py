"""What the dashboard shows, computed: strips of coverage, rates, samples, holdings, charts.

Nothing here knows of requests or pages. What reads the database takes querysets that are scoped
already, and costs what the window holds, never what the tables hold.
"""
