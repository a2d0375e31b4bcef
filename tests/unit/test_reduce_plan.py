"""What a budget buys: the share of data and updates of least error, within the budget."""

import numpy as np
import pytest

from netml.stages.reduce_plan import (
    DATA,
    LEAST_DATA_S,
    LEAST_UPDATES,
    MOST_UPDATES,
    TRAINED_SHARE,
    UPDATES,
    more_data,
    plan,
)  # fmt: skip


@pytest.mark.parametrize("budget, record_rate, update_s", [(900, 1.0, 0.05), (3000, 0.3, 0.02), (9000, 4.0, 0.2)])
def test_no_other_share_of_the_budget_has_less_error(budget, record_rate, update_s):
    made = plan(budget, 0.0, record_rate, update_s)
    assert made.record_s + made.train_s == pytest.approx(budget, rel=0.01)
    assert made.record_s == pytest.approx(made.data_s * record_rate)

    def error(data, updates):
        return DATA / (TRAINED_SHARE * data) + UPDATES / updates

    data = np.linspace(0.02, 0.98, 97) * budget / record_rate
    best = error(data, (budget - data * record_rate) / update_s).min()
    assert error(made.data_s, made.updates) <= 1.01 * best


def test_what_is_there_is_not_recorded_again():
    without, with_some = plan(900, 0.0, 1.0, 0.05), plan(800, 100.0, 1.0, 0.05)
    assert with_some.data_s == pytest.approx(without.data_s) and with_some.updates == without.updates
    assert with_some.record_s == pytest.approx(without.record_s - 100)
    assert plan(100, 5000.0, 1.0, 0.05).record_s == 0


def test_a_small_budget_buys_the_least_that_is_worth_anything_and_a_large_one_data():
    assert plan(-5, 10.0, 1.0, 0.05).updates == LEAST_UPDATES
    assert plan(-5, 10.0, 1.0, 0.05).data_s == LEAST_DATA_S
    large = plan(1e5, 0.0, 1.0, 0.05)
    assert large.updates == MOST_UPDATES and large.record_s + large.train_s == pytest.approx(1e5, rel=0.01)


def test_more_data_is_advised_where_it_can_do():
    assert more_data(600, 2.0) == 600 and more_data(600, 10.0) is None
