"""How faithful a reduced cell and a swapped network are: pure measures of trials, runs and traces."""
