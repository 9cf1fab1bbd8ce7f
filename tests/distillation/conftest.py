"""The teacher that counts begins every test at zero."""

import pytest
from counting_teacher import Counting


@pytest.fixture(autouse=True)
def counted():
    Counting.calls, Counting.most, Counting.failing = 0, 10**9, "none"
