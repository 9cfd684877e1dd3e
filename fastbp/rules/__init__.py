"""The rules of a training: optimisers, schedules, regularisers, and monitoring of losses."""
