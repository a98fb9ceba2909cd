"""The explorer: a local page on which genes are moved and the tissue is seen to change.

:class:`~c2lst.explorer.session.Explorer` holds all that it does and knows no page;
:mod:`c2lst.explorer.page` lays it out with Gradio, on loopback alone.
"""

from c2lst.explorer.handles import Handles as Handles
from c2lst.explorer.session import Explorer as Explorer
from c2lst.explorer.view import Choice as Choice
from c2lst.explorer.view import View as View
