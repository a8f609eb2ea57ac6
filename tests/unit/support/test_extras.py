from metaproxy.support.extras import install


def test_an_extra_is_installed_from_the_source_as_no_index_has_it() -> None:
    assert install("tls") == "pip install '.[tls]' in the folder of metaproxy's source"
