"""Running hostile Python: walls around a process, a harness inside it, verdicts about exercises.

``runner`` is the interface (Sandbox, Program, Outcome, Limits), ``exercise`` the gate for generated exercises.
``zygote``, ``walls`` and ``harness`` run in a process of their own, which is why nothing is imported here.
"""
