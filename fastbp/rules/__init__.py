"""What a training follows: optimisers, schedules, regularisers, and when a figure has improved."""
