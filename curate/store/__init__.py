"""Shards, side tables, receipts and manifests: the only place that knows the layout on disk.

A run's folder::

    runs/<recipe>/
      dataset/ -> steps/dataset/<fingerprint>/out-*   the newest result of each writer and trainer, by its step's id
      manifest.json     what was made of what, and why: the same bytes for the same meaning
                        (each dataset has its own part of it, provenance.json, so that a copy still names its origin)
      README.md         the dataset card
      run.json          when, where, how long: nothing in here is part of any result
      steps.json        which record of each step the newest run used
      journal.sqlite    every request to a model, and what came of it
      steps/<step>/<fingerprint>/
        step.json       settings and library versions at the first commit
        receipts/       one small file per committed task: the commit itself
        done-*.json     the step as a whole, once complete
        *.arrow         data: documents, overlays (verdicts and columns beside them), dropped rows
      signals/<measure>/<root>/*.arrow    what filters measured, kept across changes of thresholds
"""
