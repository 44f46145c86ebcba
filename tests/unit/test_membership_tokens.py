from suites.support.membership import random_secret, with_field


def test_a_made_up_token_has_the_swarms_digest_and_another_secret_of_the_same_form():
    token = f"SWMTKN-1-{'4eg7i1z97g' * 5}-{'0mf5w' * 5}"
    made = with_field(token, 3, random_secret())
    assert made.rpartition("-")[0] == token.rpartition("-")[0]
    assert len(made) == len(token)
    assert made != token != with_field(token, 3, random_secret()) != made
