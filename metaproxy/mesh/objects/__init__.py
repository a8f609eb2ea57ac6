"""
The objects of a mesh as frozen dataclasses, and how each is read and checked.

`kinds` lists them. One module holds the objects of one API: `meta_router`, `application_protocol`,
`dubbo_authorization`, `redis`, `service_entry`, `destination_rule`, `gateway`, `virtual_service`, `kubernetes`.
"""
