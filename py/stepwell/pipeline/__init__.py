"""What flows between stages, the contracts of stages, the plan and its executor."""
